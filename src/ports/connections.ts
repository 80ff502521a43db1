import { processSockets } from '../linux/proc/process.js'
import { STATE, type SocketRow } from '../linux/proc/socket-table.js'
import { isIpv6, isWildcard } from '../linux/sockets/ip-address.js'
import { readSockets } from '../linux/sockets/socket-diagnostics.js'
import { joinHostPort, type HostPort, type Protocol } from './host-port.js'

/** States of a socket without an open connection. */
const NOT_OPEN: readonly number[] = [
  ...[STATE.listen, STATE.close, STATE.newSynRecv, STATE.boundInactive],
] as const

/** Counts the connections of a published port, or for UDP the flows of its proxy. @param pid of the proxy, while it runs */
export type CountConnections = (port: HostPort, pid: number | undefined) => number

/**
 * Counts open connections in the kernel's tables, which are read once. This works with any proxy, and costs the proxies nothing.
 */
export function connectionCounter(): CountConnections {
  const tables = { tcp: lazily('tcp'), udp: lazily('udp'), sctp: lazily('sctp') }
  return (port, pid) => {
    const rows = tables[port.protocol]()
    if (port.protocol !== 'udp') return rows.filter((row) => isClientOf(row, port)).length
    const own = new Set(pid === undefined ? [] : processSockets(pid).values())
    return rows.filter((row) => own.has(row.inode) && row.remote.port !== 0).length
  }
}

/** An open connection of a client. */
export interface Connection {
  /** As `192.0.2.7:50412`. */
  readonly client: string
  /** The address that the client has connected to. */
  readonly host: string
  /** Bytes from the client, and bytes that the client has acknowledged; left out if the kernel does not tell. */
  readonly bytesIn?: number
  readonly bytesOut?: number
}

/** The open TCP connections of published ports, from the kernel's table. */
export function listConnections(ports: readonly HostPort[]): Connection[] {
  return ports
    .filter(({ protocol }) => protocol === 'tcp')
    .flatMap((port) =>
      readSockets('tcp', { port: port.port, withBytes: true })
        .filter((row) => isClientOf(row, port) && row.state !== STATE.timeWait)
        .map(({ local, remote, received, acknowledged }) => ({
          client: joinHostPort(remote.ip, remote.port),
          host: joinHostPort(local.ip, local.port),
          ...(received === undefined ? {} : { bytesIn: received }),
          ...(acknowledged === undefined ? {} : { bytesOut: acknowledged }),
        })),
    )
}

function isClientOf({ local, state }: SocketRow, { ip, port }: HostPort): boolean {
  if (local.port !== port || NOT_OPEN.includes(state)) return false
  if (local.ip === ip) return true
  return isWildcard(ip) && isIpv6(local.ip) === isIpv6(ip)
}

function lazily(protocol: Protocol): () => readonly SocketRow[] {
  let rows: readonly SocketRow[] | undefined
  return () => (rows ??= readSockets(protocol))
}
