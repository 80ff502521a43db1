import { networkInterfaces } from 'node:os'
import { errnoCode } from '../linux/errno.js'
import { ephemeralPorts, hasTcpTimestamps, reservedPorts } from '../linux/proc/ephemeral-ports.js'
import { isIpv6, isLoopback } from '../linux/sockets/ip-address.js'

/** Ports that a dial tries before the kernel has to find one. */
export const MAX_LOCAL_PORTS = 16
/** The kernel's settings are read again after this time, milliseconds. */
const MAX_AGE_MS = 10_000

/** Settings of the kernel that say which ports a connection may have. */
interface Settings {
  readonly first: number
  /** Ports in the range. */
  readonly count: number
  readonly isReserved: (port: number) => boolean
  readonly hasTimestamps: boolean
  /** By performance.now(), milliseconds. */
  readonly readAt: number
}

let settings: Settings | undefined

/**
 * Chooses local ports for the connections to one backend, one after the other.
 *
 * If clients close first, the local port of each connection to the backend stays in TIME_WAIT for a minute. A connect(2) without a local
 * port then searches longer and longer for a free one, and finally finds none. For a socket that was bound to a port, connect(2) takes over
 * a pair of addresses in TIME_WAIT, which TCP timestamps make safe, see RFC 6191.
 *
 * Only ports with an odd distance from the first one are chosen. A connect(2) without a local port prefers the others, and never takes a
 * port that a socket was bound to: so other programs of the host still find ports. Source: __inet_hash_connect in the kernel.
 */
export class LocalPorts {
  /** The distance of the last port from the first one; undefined before the first dial. */
  #last: number | undefined

  /** @param backendPort is never chosen: on an address of this host the connection would be one with itself */
  constructor(private readonly backendPort: number) {}

  /** @returns undefined if the kernel should choose */
  next(): number | undefined {
    const { first, count, isReserved, hasTimestamps } = currentSettings()
    if (!hasTimestamps || count < 2) return undefined
    let distance = this.#last ?? randomOdd(count)
    for (let tries = 0; tries < count; tries += 2) {
      distance = distance + 2 < count ? distance + 2 : 1
      const port = first + distance
      if (port === this.backendPort || isReserved(port)) continue
      this.#last = distance
      return port
    }
    return undefined
  }
}

/** Several proxies, processes and threads share the range, and must not try the same ports. */
function randomOdd(count: number): number {
  return 2 * Math.floor((Math.random() * count) / 2) + 1
}

function currentSettings(): Settings {
  const now = performance.now()
  if (settings && now - settings.readAt < MAX_AGE_MS) return settings
  const { first, last } = ephemeralPorts()
  const count = last - first + 1
  const isReserved = reservedPorts()
  return (settings = { first, count, isReserved, hasTimestamps: hasTcpTimestamps(), readAt: now })
}

/** Whether the kernel may choose the port for a connection. */
export function isAutomaticPort(port: number): boolean {
  const { first, count } = currentSettings()
  return port >= first && port < first + count
}

/** Whether a dial has failed because no local port is free. The kernel has the same code for a host without any address to dial from. */
export function isOutOfPorts(err: unknown, backendIp: string): boolean {
  if (errnoCode(err) !== 'EADDRNOTAVAIL') return false
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(
      ({ address, internal }) =>
        isIpv6(address) === isIpv6(backendIp) && (!internal || isLoopback(backendIp)),
    ),
  )
}
