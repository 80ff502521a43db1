/*
 * The only place that parses and formats IP addresses. URL is part of Node's core and writes IPv6 in its shortest form; ipaddr.js takes
 * longer to load than all of this takes to run, see docs/decisions/.
 */

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const MAYBE_IPV6 = /^[\da-fA-F:.]+$/
const IPV4_LENGTH = 4
const IPV6_GROUPS = 8
/** Bytes before the IPv4 address in an IPv4-mapped IPv6 address, see RFC 4291, section 2.5.5.2. */
const MAPPED_PREFIX = Buffer.from('00000000000000000000ffff', 'hex')

/**
 * Parses an IP address. An IPv4-mapped IPv6 address becomes the IPv4 address, as in Go's net.IP. A zone (`fe80::1%eth0`) is no part of an
 * address.
 *
 * @returns the shortest form; undefined if the text is not an IP address
 */
export function parseIp(text: string): string | undefined {
  if (IPV4.test(text)) return text
  if (!MAYBE_IPV6.test(text) || !URL.canParse(`http://[${text}]`)) return undefined
  return formatIp(ipv6Bytes(text))
}

/** An address without the zone that Node adds to a link-local one: `fe80::1%eth0`. */
export function withoutZone(ip: string): string {
  return ip.split('%')[0] ?? ip
}

/** Whether an IP address is an IPv6 address. @param ip an IP address, in any form */
export function isIpv6(ip: string): boolean {
  return ip.includes(':')
}

/** Whether the address stands for all addresses of its family. */
export function isWildcard(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::'
}

/** Whether a socket on one address excludes one on the other: they are equal, or one is the wildcard of their family. */
export function addressesOverlap(a: string, b: string): boolean {
  if (isIpv6(a) !== isIpv6(b)) return false
  return a === b || isWildcard(a) || isWildcard(b)
}

/** Whether only processes of this machine can reach the address. */
export function isLoopback(ip: string): boolean {
  return ip === '::1' || ip.startsWith('127.')
}

/** Whether an IPv6 address means something only on one interface: fe80::/10, see RFC 4291, section 2.5.6. */
export function isLinkLocal(ip: string): boolean {
  return /^fe[89ab][\da-f]:/i.test(ip)
}

/** Whether the kernel gives each interface of its kind such an address by itself. */
export function isAutomatic(ip: string): boolean {
  return isLoopback(ip) || isLinkLocal(ip)
}

/** Whether an address stands for a group of hosts: 224.0.0.0/4 and ff00::/8. */
export function isMulticast(ip: string): boolean {
  return isIpv6(ip) ? /^ff[\da-f]{2}:/i.test(ip) : /^(22[4-9]|23\d)\./.test(ip)
}

/** The address in network byte order: 4 bytes for IPv4, 16 for IPv6. @param ip an IP address */
export function ipBytes(ip: string): Buffer {
  return isIpv6(ip) ? ipv6Bytes(ip) : Buffer.from(ip.split('.').map(Number))
}

/** Identifies the network of an address: its first bits, comparable. @param ip an IP address */
export function networkOf(ip: string, bits: number): string {
  const bytes = ipBytes(ip)
  for (const [at, byte] of bytes.entries()) {
    const own = Math.min(8, Math.max(0, bits - 8 * at))
    bytes[at] = byte & ~(0xff >> own)
  }
  return bytes.toString('hex')
}

/** Formats an address. @param bytes 4 or 16 bytes in network byte order; an IPv4-mapped IPv6 address is written as IPv4 */
export function formatIp(bytes: Buffer): string {
  if (bytes.length === IPV4_LENGTH) return bytes.join('.')
  if (bytes.subarray(0, MAPPED_PREFIX.length).equals(MAPPED_PREFIX)) {
    return bytes.subarray(MAPPED_PREFIX.length).join('.')
  }
  const groups = Array.from({ length: IPV6_GROUPS }, (_, i) => bytes.readUInt16BE(2 * i))
  return shortestForm(groups.map((group) => group.toString(16)).join(':'))
}

function ipv6Bytes(ip: string): Buffer {
  // The URL parser writes an IPv4 tail as two groups.
  const [head = [], tail = []] = shortestForm(ip)
    .split('::')
    .map((part) => (part === '' ? [] : part.split(':')))
  const zeros = Array<string>(IPV6_GROUPS - head.length - tail.length).fill('0')
  const groups = [...head, ...zeros, ...tail]
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex')
}

function shortestForm(ip: string): string {
  return new URL(`http://[${ip}]`).hostname.slice(1, -1)
}
