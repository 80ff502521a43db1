import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import type { SocketKind } from './port-socket.js'

/** A row of the kernel's table of sockets. */
export interface SocketRow {
  readonly localIp: string
  readonly localPort: number
  readonly remoteIp: string
  readonly remotePort: number
  /** The number of its state, see STATE. */
  readonly state: number
  /** Its owner's user id. */
  readonly uid: number
  /** Names the socket; 0 once its owner has closed it. */
  readonly inode: number
}

/** include/net/tcp_states.h */
export const STATE = { established: 1, close: 7, listen: 10, newSynRecv: 12 } as const

/** The remote port, and the state. */
const TIME_WAIT = /:[0-9A-F]{4} 06 /

/**
 * The sockets of this network namespace, of both families, but for those in TIME_WAIT: they are nobody's any more, and there
 * may be tens of thousands.
 * Source: proc(5), `/proc/net/tcp`, `tcp6`, `udp`, `udp6`. SCTP has a table of another form and is not read.
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
  const [localIp, localPort] = parseAddress(local)
  const [remoteIp, remotePort] = parseAddress(remote)
  return {
    ...{ localIp, localPort, remoteIp, remotePort },
    state: parseInt(state, 16),
    uid: Number(uid),
    inode: Number(inode),
  }
}

/** `0100007F:1F90`: groups of four bytes, each as one number of the machine, and the port. */
function parseAddress(text: string): [string, number] {
  const [hex = '', port = ''] = text.split(':')
  const bytes = Buffer.from(hex, 'hex')
  if (endianness() === 'LE') bytes.swap32()
  return [formatIp(bytes), parseInt(port, 16)]
}

function formatIp(bytes: Buffer): string {
  if (bytes.length === 4) return bytes.join('.')
  const mapped = bytes.readUInt16BE(10) === 0xffff && bytes.subarray(0, 10).every((b) => b === 0)
  if (mapped) return bytes.subarray(12).join('.')
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(2 * i).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}
