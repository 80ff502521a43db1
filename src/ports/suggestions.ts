import { networkInterfaces } from 'node:os'
import { isIpv6, isLinkLocal, isWildcard } from '../linux/sockets/ip-address.js'
import { MAX_PORT, type HostPort } from './host-port.js'

/** Free alternatives to a port that is taken. */
export interface Suggestions {
  /** The nearest ports that are free on all requested addresses. */
  readonly ports: readonly number[]
  /** An address of this host on which the port itself is free. */
  readonly address?: string
}

const PORTS_WANTED = 3
/** Ports further away from the requested one are not considered. */
const MAX_DISTANCE = 200
/** Ports below it need root, see ip(7), ip_unprivileged_port_start. They are suggested only for a request below it. */
const FIRST_UNPRIVILEGED = 1024

/**
 * Finds what works instead of a port that is taken.
 *
 * @param requested the port on each requested address
 * @param taken the one that failed
 * @param isFree whether a port can be bound now
 */
export async function suggest(
  requested: readonly HostPort[],
  taken: HostPort,
  isFree: (port: HostPort) => Promise<boolean>,
): Promise<Suggestions> {
  const ports: number[] = []
  for (const port of nearbyPorts(taken.port)) {
    if (await all(requested, (each) => isFree({ ...each, port }))) ports.push(port)
    if (ports.length === PORTS_WANTED) break
  }
  for (const ip of otherAddresses(taken.ip)) {
    if (await isFree({ ...taken, ip })) return { ports, address: ip }
  }
  return { ports }
}

async function all<T>(items: readonly T[], test: (item: T) => Promise<boolean>): Promise<boolean> {
  for (const item of items) if (!(await test(item))) return false
  return true
}

/** The ports around one, nearest first; of two equally near ones the higher first. */
function* nearbyPorts(port: number): Generator<number> {
  const lowest = port < FIRST_UNPRIVILEGED ? 1 : FIRST_UNPRIVILEGED
  for (let distance = 1; distance <= MAX_DISTANCE; distance++) {
    if (port + distance <= MAX_PORT) yield port + distance
    if (port - distance >= lowest) yield port - distance
  }
}

/** Other addresses of this host in the family of `ip`, loopback addresses last. */
function otherAddresses(ip: string): string[] {
  const family = isIpv6(ip) ? 'IPv6' : 'IPv4'
  const own = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === family && !isLinkLocal(address.address))
    .sort((a, b) => Number(a.internal) - Number(b.internal))
    .map(({ address }) => address)
  // All of 127.0.0.0/8 belongs to this host, although no interface lists it.
  const candidates = family === 'IPv4' ? [...own, '127.0.0.2'] : own
  return candidates.filter((address) => address !== ip && !isWildcard(address))
}
