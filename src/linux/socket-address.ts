import { isIPv6 } from 'node:net'
import { endianness } from 'node:os'

/** socket(2): the families of addresses. */
export const AF_INET = 2
export const AF_INET6 = 10

const SIZE_OF_SOCKADDR_IN = 16
const SIZE_OF_SOCKADDR_IN6 = 28
/** Where struct sockaddr_in and sockaddr_in6 have their members, see ip(7) and ipv6(7). */
const OFFSET = { port: 2, ipv4: 4, ipv6: 8 }

/** The address as the kernel takes it: struct sockaddr_in or sockaddr_in6. */
export function socketAddress(ip: string, port: number): Buffer {
  const address = Buffer.alloc(isIPv6(ip) ? SIZE_OF_SOCKADDR_IN6 : SIZE_OF_SOCKADDR_IN)
  const family = isIPv6(ip) ? AF_INET6 : AF_INET
  if (endianness() === 'LE') address.writeUInt16LE(family)
  else address.writeUInt16BE(family)
  address.writeUInt16BE(port, OFFSET.port)
  if (isIPv6(ip))
    ipv6Groups(ip).forEach((group, i) => address.writeUInt16BE(group, OFFSET.ipv6 + 2 * i))
  else ip.split('.').forEach((byte, i) => address.writeUInt8(Number(byte), OFFSET.ipv4 + i))
  return address
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
