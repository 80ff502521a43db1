import { endianness } from 'node:os'
import { AF_INET, AF_INET6, AF_UNIX } from '../ffi/constants.js'
import { formatIp, ipBytes, isIpv6 } from './ip-address.js'

/** Size of struct sockaddr_in, bytes. */
export const SIZE_OF_SOCKADDR_IN = 16
/** Size of struct sockaddr_in6, bytes. A struct sockaddr_in fits into it as well. */
export const SIZE_OF_SOCKADDR_IN6 = 28
/** Offsets in struct sockaddr_in and sockaddr_in6, see ip(7) and ipv6(7). */
const OFFSET = { port: 2, ipv4: 4, ipv6: 8 }

/** An IP address and a port. */
export interface SocketAddress {
  readonly ip: string
  readonly port: number
}

/** The address family of an IP address, see socket(2). */
export function familyOf(ip: string): number {
  return isIpv6(ip) ? AF_INET6 : AF_INET
}

/** Encodes an address as struct sockaddr_in or sockaddr_in6. */
export function encodeSocketAddress({ ip, port }: SocketAddress): Buffer {
  const address = Buffer.alloc(isIpv6(ip) ? SIZE_OF_SOCKADDR_IN6 : SIZE_OF_SOCKADDR_IN)
  writeFamily(address, familyOf(ip))
  ipBytes(ip).copy(address, isIpv6(ip) ? OFFSET.ipv6 : OFFSET.ipv4)
  setPort(address, port)
  return address
}

/** Changes the port of an encoded address. */
export function setPort(address: Buffer, port: number): void {
  address.writeUInt16BE(port, OFFSET.port)
}

/**
 * Encodes the address of a unix socket, struct sockaddr_un of unix(7).
 * @param path a path, or `@` and an abstract name
 */
export function encodeUnixAddress(path: string): Buffer {
  const family = Buffer.alloc(2)
  writeFamily(family, AF_UNIX)
  // An abstract name ends where the address ends.
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  return Buffer.concat([family, Buffer.from(name)])
}

/**
 * Decodes an address that the kernel has written. An IPv4 address on an IPv6 socket is returned as IPv4, as in Go.
 * @returns undefined for a family other than IPv4 and IPv6
 */
export function decodeSocketAddress(address: Buffer): SocketAddress | undefined {
  const family = endianness() === 'LE' ? address.readUInt16LE() : address.readUInt16BE()
  if (family !== AF_INET && family !== AF_INET6) return undefined
  const [start, length] = family === AF_INET ? [OFFSET.ipv4, 4] : [OFFSET.ipv6, 16]
  const ip = formatIp(address.subarray(start, start + length))
  return { ip, port: address.readUInt16BE(OFFSET.port) }
}

function writeFamily(address: Buffer, family: number): void {
  if (endianness() === 'LE') address.writeUInt16LE(family)
  else address.writeUInt16BE(family)
}
