import { socketsOf } from '../linux/process.js'
import { readSocketTable, STATE, type SocketRow } from '../linux/socket-table.js'
import { isWildcard, type Claim } from './claim.js'

/** States in which a connection carries nothing any more, or not yet. */
const NOT_OPEN: readonly number[] = [STATE.listen, STATE.close, STATE.newSynRecv] as const

/** Counts those of one published port; of UDP the flows of its proxy. @param pid the proxy, while it is up */
export type CountConnections = (claim: Claim, pid: number | undefined) => number

/**
 * Counts the connections that are open now, from the kernel's tables, which are read once: it works with any
 * proxy, and costs the proxies nothing.
 */
export function connectionCounter(): CountConnections {
  const tables = { tcp: lazily('tcp'), udp: lazily('udp'), sctp: lazily('sctp') }
  return (claim, pid) => {
    const rows = tables[claim.protocol]()
    if (claim.protocol !== 'udp') return rows.filter((row) => isClient(row, claim)).length
    const own = new Set(pid === undefined ? [] : socketsOf(pid).values())
    return rows.filter((row) => own.has(row.inode) && row.remotePort !== 0).length
  }
}

function isClient(row: SocketRow, { ip, port }: Claim): boolean {
  if (row.localPort !== port || NOT_OPEN.includes(row.state)) return false
  if (row.localIp === ip) return true
  return isWildcard(ip) && row.localIp.includes(':') === ip.includes(':')
}

function lazily(protocol: Claim['protocol']): () => readonly SocketRow[] {
  let rows: readonly SocketRow[] | undefined
  return () => (rows ??= readSocketTable(protocol))
}
