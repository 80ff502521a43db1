import { isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { isWildcard, type Claim } from './claim.js'
import type { Suggestions } from './conflict.js'

const PORTS_WANTED = 3
/** How far from the port that was asked for to look. */
const REACH = 200
const MAX_PORT = 65_535
/** Below it ports take root, see ip(7), ip_unprivileged_port_start; only one who asked for such a port gets one. */
const FIRST_UNPRIVILEGED = 1024

/**
 * What would work instead of a port that is taken.
 *
 * @param claims the port on each address that it was asked for
 * @param taken the claim among them that failed
 * @param isFree whether a claim could be had now
 */
export function suggest(
  claims: readonly Claim[],
  taken: Claim,
  isFree: (claim: Claim) => boolean,
): Suggestions {
  const ports: number[] = []
  for (const port of nearbyPorts(taken.port)) {
    if (claims.every((claim) => isFree({ ...claim, port }))) ports.push(port)
    if (ports.length === PORTS_WANTED) break
  }
  const address = otherAddresses(taken.ip).find((ip) => isFree({ ...taken, ip }))
  return { ports, ...(address === undefined ? {} : { address }) }
}

/** The ports around one, the nearest first and of two the higher. */
function* nearbyPorts(port: number): Generator<number> {
  const lowest = port < FIRST_UNPRIVILEGED ? 1 : FIRST_UNPRIVILEGED
  for (let distance = 1; distance <= REACH; distance++) {
    if (port + distance <= MAX_PORT) yield port + distance
    if (port - distance >= lowest) yield port - distance
  }
}

/** Addresses of this host in the family of `ip`, on which the port may be free: a loopback one comes last. */
function otherAddresses(ip: string): string[] {
  const family = isIPv6(ip) ? 'IPv6' : 'IPv4'
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === family && !address.address.startsWith('fe80'))
    .sort((a, b) => Number(a.internal) - Number(b.internal))
    .map(({ address }) => address)
  // All of 127.0.0.0/8 is this host's, though no interface lists it.
  const all = family === 'IPv4' ? [...own, '127.0.0.2'] : own
  return all.filter((address) => address !== ip && !isWildcard(address))
}
