import { endianness } from 'node:os'
import { AF_INET, AF_INET6, AF_UNIX } from './constants.js'

export const SIZE_OF_SOCKADDR_IN = 16
/** Which is room for either. */
export const SIZE_OF_SOCKADDR_IN6 = 28
/** Where struct sockaddr_in and sockaddr_in6 have their members, see ip(7) and ipv6(7). */
const OFFSET = { port: 2, ipv4: 4, ipv6: 8 }

/** An address of IP as it is written. */
export interface SocketName {
  readonly ip: string
  readonly port: number
}

/** Whether an IP address, which this must be, is one of IPv6. */
export function isIpv6(ip: string): boolean {
  return ip.includes(':')
}

/** The family of an IP address, see socket(2). */
export function familyOf(ip: string): number {
  return isIpv6(ip) ? AF_INET6 : AF_INET
}

/** The address as the kernel takes it: struct sockaddr_in or sockaddr_in6. */
export function socketAddress(ip: string, port: number): Buffer {
  const address = Buffer.alloc(isIpv6(ip) ? SIZE_OF_SOCKADDR_IN6 : SIZE_OF_SOCKADDR_IN)
  const family = familyOf(ip)
  if (endianness() === 'LE') address.writeUInt16LE(family)
  else address.writeUInt16BE(family)
  address.writeUInt16BE(port, OFFSET.port)
  if (isIpv6(ip))
    ipv6Groups(ip).forEach((group, i) => address.writeUInt16BE(group, OFFSET.ipv6 + 2 * i))
  else ip.split('.').forEach((byte, i) => address.writeUInt8(Number(byte), OFFSET.ipv4 + i))
  return address
}

/** The address of a unix socket, struct sockaddr_un of unix(7): a path, or an abstract name, which is written with an `@`. */
export function unixAddress(path: string): Buffer {
  const family = Buffer.alloc(2)
  if (endianness() === 'LE') family.writeUInt16LE(AF_UNIX)
  else family.writeUInt16BE(AF_UNIX)
  // An abstract name has no end but that of the address.
  const name = path.startsWith('@') ? `\0${path.slice(1)}` : `${path}\0`
  return Buffer.concat([family, Buffer.from(name)])
}

/**
 * IP and port of an address that the kernel has given; one of IPv4 that came by an IPv6 socket is written as IPv4, as Go
 * does. Undefined for another family than these.
 */
export function parseSocketAddress(address: Buffer): SocketName | undefined {
  const family = endianness() === 'LE' ? address.readUInt16LE() : address.readUInt16BE()
  if (family !== AF_INET && family !== AF_INET6) return undefined
  const port = address.readUInt16BE(OFFSET.port)
  if (family === AF_INET) return { ip: ipv4Text(address, OFFSET.ipv4), port }
  const groups = Array.from({ length: 8 }, (_, i) => address.readUInt16BE(OFFSET.ipv6 + 2 * i))
  if (groups.slice(0, 6).join() === '0,0,0,0,0,65535') {
    return { ip: ipv4Text(address, OFFSET.ipv6 + 12), port }
  }
  // The URL parser knows which zeros to leave out.
  const { hostname } = new URL(`http://[${groups.map((group) => group.toString(16)).join(':')}]`)
  return { ip: hostname.slice(1, -1), port }
}

function ipv4Text(address: Buffer, at: number): string {
  return address.subarray(at, at + 4).join('.')
}

/** The eight numbers of an IPv6 address. */
function ipv6Groups(ip: string): number[] {
  // The URL parser writes an IPv4 tail as two groups.
  const short = new URL(`http://[${ip}]`).hostname.slice(1, -1)
  const [head = [], tail] = short
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':').map((group) => parseInt(group, 16))))
  if (!tail) return head
  return [...head, ...Array<number>(8 - head.length - tail.length).fill(0), ...tail]
}
