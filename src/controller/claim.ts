import { isIPv6 } from 'node:net'
import type { Protocol } from '../proxy/published-port.js'

/** A right to one port: what a listening socket holds, and what a publication asks for. */
export interface Claim {
  readonly protocol: Protocol
  readonly ip: string
  readonly port: number
}

/**
 * Whether two claims exclude each other: same protocol, same port, and the same address or one of them the
 * wildcard of the same family. Our own listeners are IPv6-only, so the families never meet.
 */
export function claimsConflict(a: Claim, b: Claim): boolean {
  if (a.protocol !== b.protocol || a.port !== b.port) return false
  if (isIPv6(a.ip) !== isIPv6(b.ip)) return false
  return a.ip === b.ip || isWildcard(a.ip) || isWildcard(b.ip)
}

/** Whether the address stands for all of its family. */
export function isWildcard(ip: string): boolean {
  return ip === '0.0.0.0' || ip === '::'
}
