import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { formatIp } from '../sockets/ip-address.js'
import type { SocketKind } from '../sockets/port-socket.js'
import type { SocketAddress } from '../sockets/socket-address.js'

/** A row of the kernel's table of sockets. */
export interface SocketRow {
  readonly local: SocketAddress
  readonly remote: SocketAddress
  /** See STATE. */
  readonly state: number
  /** The user id of its owner. */
  readonly uid: number
  /** Identifies the socket; 0 once its owner has closed it. */
  readonly inode: number
  /** Whether an IPv6 socket leaves the IPv4 port alone; left out if the kernel does not tell. */
  readonly isIpv6Only?: boolean
  /** Bytes that were received, and sent bytes that the other end has acknowledged; left out unless they were asked for. */
  readonly received?: number
  readonly acknowledged?: number
}

/** Numbers of states. Source: include/net/tcp_states.h. */
export const STATE = {
  ...{ established: 1, timeWait: 6, close: 7, listen: 10, newSynRecv: 12, boundInactive: 13 },
} as const

/** The remote port and the state of a row. */
const TIME_WAIT = /:[0-9A-F]{4} 06 /

/**
 * Reads the sockets of this network namespace, of both families. Sockets in TIME_WAIT are left out: they have no owner, and there may be
 * tens of thousands.
 * Source: proc(5), `/proc/net/tcp`, `tcp6`, `udp`, `udp6`. The table of SCTP has another form and is not read.
 */
export function readSocketTable(protocol: SocketKind): SocketRow[] {
  if (protocol === 'sctp') return []
  return [protocol, `${protocol}6`].flatMap((name) => readTable(`/proc/net/${name}`))
}

function readTable(path: string): SocketRow[] {
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    return [] // A kernel without IPv6 has no such table.
  }
  const lines = text.trimEnd().split('\n').slice(1)
  return lines.filter((line) => !TIME_WAIT.test(line)).map(parseRow)
}

function parseRow(line: string): SocketRow {
  const [, local = '', remote = '', state = '', , , , uid, , inode] = line.trim().split(/\s+/)
  return {
    local: parseAddress(local),
    remote: parseAddress(remote),
    state: parseInt(state, 16),
    uid: Number(uid),
    inode: Number(inode),
  }
}

/** Parses `0100007F:1F90`: groups of four bytes in the machine's byte order, and the port. */
function parseAddress(text: string): SocketAddress {
  const [hex = '', port = ''] = text.split(':')
  const bytes = Buffer.from(hex, 'hex')
  if (endianness() === 'LE') bytes.swap32()
  return { ip: formatIp(bytes), port: parseInt(port, 16) }
}
