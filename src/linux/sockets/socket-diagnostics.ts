import {
  AF_INET,
  AF_INET6,
  INET_DIAG,
  IPPROTO,
  NETLINK_SOCK_DIAG,
  NLM_F_DUMP,
  SOCK_DIAG_BY_FAMILY,
} from '../ffi/constants.js'
import { readSocketTable, STATE, type SocketRow } from '../proc/socket-table.js'
import { formatIp } from './ip-address.js'
import {
  attributes,
  encodeAttribute,
  NetlinkSocket,
  readU32,
  readU64,
  writeU16,
  writeU32,
} from './netlink.js'

/*
 * Asks the kernel for sockets by netlink, see sock_diag(7): the kernel filters them by port, which the tables in /proc do not offer, and
 * also knows sockets that are bound and neither listen nor are connected.
 */

type Protocol = 'tcp' | 'udp'

/** Offsets in struct inet_diag_req_v2, and its size. */
const REQUEST = { protocol: 1, extensions: 2, states: 4, size: 56 }
/** Offsets in struct inet_diag_msg, and its size. The addresses have 16 bytes for either family. */
const MESSAGE = {
  ...{ state: 1, localPort: 4, remotePort: 6, localIp: 8, remoteIp: 24 },
  ...{ uid: 64, inode: 68, size: 72 },
}
/** Offsets in struct tcp_info, see linux/tcp.h. */
const TCP_INFO = { acknowledged: 120, received: 128, size: 136 }
/** All states, `TCP_BOUND_INACTIVE` of Linux 6.8 included, but clients whose handshake is not complete. */
const ALL_STATES = ((1 << (STATE.boundInactive + 1)) - 1) & ~1 & ~(1 << STATE.newSynRecv)
/** There may be tens of thousands in TIME_WAIT. */
const WITHOUT_TIME_WAIT = ALL_STATES & ~(1 << STATE.timeWait)
/** States of a socket that listens or is bound. A UDP socket without a remote address is in the state CLOSE. */
const UNCONNECTED = (1 << STATE.listen) | (1 << STATE.close) | (1 << STATE.boundInactive)

/** Which sockets to read. */
export interface SocketFilter {
  /** Only sockets that are bound to this port. */
  readonly port?: number
  /** Only sockets that listen or are bound. A listener's port may have thousands of connections. */
  readonly isUnconnected?: boolean
  /** Whether to count the bytes of TCP sockets. */
  readonly withBytes?: boolean
}

/**
 * Reads the sockets of this network namespace, of both families. Without sock_diag they come from the tables in /proc.
 * @param filter by default all but those in TIME_WAIT
 */
export function readSockets(protocol: Protocol | 'sctp', filter: SocketFilter = {}): SocketRow[] {
  if (protocol === 'sctp') return []
  try {
    return [AF_INET, AF_INET6].flatMap((family) => readFamily(protocol, family, filter))
  } catch {
    const { port, isUnconnected = false } = filter
    return readSocketTable(protocol).filter(
      ({ local, state }) =>
        (port === undefined || local.port === port) &&
        (!isUnconnected || (UNCONNECTED >> state) & 1),
    )
  }
}

/** @throws SystemError; Error if there is no FFI on this platform */
function readFamily(protocol: Protocol, family: number, filter: SocketFilter): SocketRow[] {
  const socket = new NetlinkSocket(NETLINK_SOCK_DIAG)
  try {
    socket.send(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, encodeRequest(protocol, family, filter))
    const rows: SocketRow[] = []
    while (!socket.receive((message) => rows.push(decodeMessage(message))));
    return rows
  } finally {
    socket.close()
  }
}

function encodeRequest(
  protocol: Protocol,
  family: number,
  { port, isUnconnected = false, withBytes = false }: SocketFilter,
): Buffer {
  const filter =
    port === undefined
      ? Buffer.alloc(0)
      : encodeAttribute(INET_DIAG.REQ_BYTECODE, encodeFilter(port))
  const connected = port === undefined ? WITHOUT_TIME_WAIT : ALL_STATES
  const body = Buffer.alloc(REQUEST.size)
  body.writeUInt8(family, 0)
  body.writeUInt8(protocol === 'tcp' ? IPPROTO.TCP : IPPROTO.UDP, REQUEST.protocol)
  if (withBytes) body.writeUInt8(1 << (INET_DIAG.INFO - 1), REQUEST.extensions)
  writeU32(body, isUnconnected ? UNCONNECTED : connected, REQUEST.states)
  return Buffer.concat([body, filter])
}

/**
 * A program for the kernel: local port >= port, and local port <= port.
 * An instruction is its code, two jumps in bytes, and the port. The first jump is for a true condition, the second for a false one. A jump
 * to 4 bytes behind the end rejects the socket.
 * Source: struct inet_diag_bc_op, linux/inet_diag.h, and inet_diag_bc_run in the kernel.
 */
function encodeFilter(port: number): Buffer {
  const filter = Buffer.alloc(16)
  for (const [at, code, ifFalse] of [
    [0, INET_DIAG.BC_S_GE, 20],
    [8, INET_DIAG.BC_S_LE, 12],
  ] as const) {
    filter.writeUInt8(code, at)
    filter.writeUInt8(8, at + 1)
    writeU16(filter, ifFalse, at + 2)
    writeU16(filter, port, at + 6)
  }
  return filter
}

function decodeMessage(message: Buffer): SocketRow {
  const family = message.readUInt8(0)
  const addressSize = family === AF_INET ? 4 : 16
  const ipAt = (at: number): string => formatIp(message.subarray(at, at + addressSize))
  const isIpv6Only = family === AF_INET6 ? ipv6OnlyOf(message) : undefined
  return {
    local: { ip: ipAt(MESSAGE.localIp), port: message.readUInt16BE(MESSAGE.localPort) },
    remote: { ip: ipAt(MESSAGE.remoteIp), port: message.readUInt16BE(MESSAGE.remotePort) },
    state: message.readUInt8(MESSAGE.state),
    uid: readU32(message, MESSAGE.uid),
    inode: readU32(message, MESSAGE.inode),
    ...(isIpv6Only === undefined ? {} : { isIpv6Only }),
    ...bytesOf(message),
  }
}

function bytesOf(message: Buffer): Pick<SocketRow, 'received' | 'acknowledged'> {
  for (const { type, value } of attributes(message, MESSAGE.size)) {
    if (type !== INET_DIAG.INFO || value.length < TCP_INFO.size) continue
    return {
      received: readU64(value, TCP_INFO.received),
      acknowledged: readU64(value, TCP_INFO.acknowledged),
    }
  }
  return {}
}

/** Whether a socket is IPv6-only; undefined for a connected one, of which the kernel does not report it. */
function ipv6OnlyOf(message: Buffer): boolean | undefined {
  for (const { type, value } of attributes(message, MESSAGE.size)) {
    if (type === INET_DIAG.SKV6ONLY) return value.readUInt8(0) !== 0
  }
  return undefined
}
