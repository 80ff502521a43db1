import { isIpv6, isWildcard } from '../../linux/sockets/ip-address.js'
import type { HostPort } from '../host-port.js'

/**
 * Whether two ports exclude each other: the protocol and the port are equal, and the addresses are equal or one of them is the wildcard of
 * the same family. Our own listeners are IPv6-only, so the families never overlap.
 */
export function portsOverlap(a: HostPort, b: HostPort): boolean {
  if (a.protocol !== b.protocol || a.port !== b.port) return false
  if (isIpv6(a.ip) !== isIpv6(b.ip)) return false
  return a.ip === b.ip || isWildcard(a.ip) || isWildcard(b.ip)
}
