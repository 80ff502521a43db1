import { closeSync } from 'node:fs'
import { endianness } from 'node:os'
import {
  AF_INET,
  AF_INET6,
  AF_NETLINK,
  INET_DIAG,
  IPPROTO,
  NETLINK_SOCK_DIAG,
  NLM_F_DUMP,
  NLM_F_REQUEST,
  NLMSG,
  SOCK,
  SOCK_DIAG_BY_FAMILY,
} from '../ffi/constants.js'
import { requireFfi } from '../ffi/ffi.js'
import { requireSyscalls } from '../ffi/syscalls.js'
import { check } from '../ffi/system-error.js'
import { readSocketTable, STATE, type SocketRow } from '../proc/socket-table.js'
import { formatIp } from './ip-address.js'

/*
 * Asks the kernel for sockets by netlink, see sock_diag(7): the kernel filters them by port, which the tables in /proc do not offer, and
 * also knows sockets that are bound and neither listen nor are connected.
 */

type Protocol = 'tcp' | 'udp'

/** Offsets and sizes in struct nlmsghdr, bytes, see netlink(7). */
const HEADER = { size: 16, type: 4, flags: 6 }
/** Offsets in struct inet_diag_req_v2, and its size. */
const REQUEST = { protocol: 1, states: 4, size: 56 }
/** Offsets in struct inet_diag_msg, and its size. The addresses have 16 bytes for either family. */
const MESSAGE = {
  ...{ state: 1, localPort: 4, remotePort: 6, localIp: 8, remoteIp: 24 },
  ...{ uid: 64, inode: 68, size: 72 },
}
/** Size of struct nlattr; attributes are aligned to it. */
const ATTRIBUTE_HEADER = 4
/** Bytes of one reply at most; the kernel sends less. */
const BLOCK_SIZE = 64 * 1024
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
  const syscalls = requireSyscalls()
  const { addressOf } = requireFfi()
  const fd = check(
    'socket',
    syscalls.socket(AF_NETLINK, SOCK.DGRAM | SOCK.CLOEXEC, NETLINK_SOCK_DIAG),
  )
  try {
    const request = encodeRequest(protocol, family, filter)
    // A netlink socket that is not connected sends to the kernel.
    check('send', syscalls.send(fd, addressOf(request), request.length, 0))
    const block = Buffer.alloc(BLOCK_SIZE)
    const rows: SocketRow[] = []
    for (let isDone = false; !isDone;) {
      const length = check('recv', syscalls.receive(fd, addressOf(block), block.length))
      isDone = decodeReplies(block.subarray(0, length), rows)
    }
    return rows
  } finally {
    closeSync(fd)
  }
}

function encodeRequest(
  protocol: Protocol,
  family: number,
  { port, isUnconnected = false }: SocketFilter,
): Buffer {
  const filter = port === undefined ? Buffer.alloc(0) : encodeFilter(port)
  const connected = port === undefined ? WITHOUT_TIME_WAIT : ALL_STATES
  const request = Buffer.alloc(HEADER.size + REQUEST.size)
  writeU32(request, request.length + filter.length, 0)
  writeU16(request, SOCK_DIAG_BY_FAMILY, HEADER.type)
  writeU16(request, NLM_F_REQUEST | NLM_F_DUMP, HEADER.flags)
  const body = request.subarray(HEADER.size)
  body.writeUInt8(family, 0)
  body.writeUInt8(protocol === 'tcp' ? IPPROTO.TCP : IPPROTO.UDP, REQUEST.protocol)
  writeU32(body, isUnconnected ? UNCONNECTED : connected, REQUEST.states)
  return Buffer.concat([request, filter])
}

/**
 * A program for the kernel: local port >= port, and local port <= port.
 * An instruction is its code, two jumps in bytes, and the port. The first jump is for a true condition, the second for a false one. A jump
 * to 4 bytes behind the end rejects the socket.
 * Source: struct inet_diag_bc_op, linux/inet_diag.h, and inet_diag_bc_run in the kernel.
 */
function encodeFilter(port: number): Buffer {
  const filter = Buffer.alloc(ATTRIBUTE_HEADER + 16)
  writeU16(filter, filter.length, 0)
  writeU16(filter, INET_DIAG.REQ_BYTECODE, 2)
  for (const [at, code, ifFalse] of [
    [4, INET_DIAG.BC_S_GE, 20],
    [12, INET_DIAG.BC_S_LE, 12],
  ] as const) {
    filter.writeUInt8(code, at)
    filter.writeUInt8(8, at + 1)
    writeU16(filter, ifFalse, at + 2)
    writeU16(filter, port, at + 6)
  }
  return filter
}

/** Adds the sockets of a block of replies to `rows`. @returns whether it was the last block @throws SystemError */
function decodeReplies(block: Buffer, rows: SocketRow[]): boolean {
  for (let at = 0; at + HEADER.size <= block.length;) {
    const length = readU32(block, at)
    const type = readU16(block, at + HEADER.type)
    if (type === NLMSG.DONE) return true
    if (type === NLMSG.ERROR) check('sock_diag', readI32(block, at + HEADER.size))
    else rows.push(decodeMessage(block.subarray(at + HEADER.size, at + length)))
    if (length < HEADER.size) return true
    at += align(length)
  }
  return false
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
  }
}

/** Whether a socket is IPv6-only; undefined for a connected one, of which the kernel does not report it. */
function ipv6OnlyOf(message: Buffer): boolean | undefined {
  for (let at = MESSAGE.size; at + ATTRIBUTE_HEADER <= message.length;) {
    const length = readU16(message, at)
    if (readU16(message, at + 2) === INET_DIAG.SKV6ONLY) {
      return message.readUInt8(at + ATTRIBUTE_HEADER) !== 0
    }
    if (length < ATTRIBUTE_HEADER) return undefined
    at += align(length)
  }
  return undefined
}

function align(length: number): number {
  return Math.ceil(length / ATTRIBUTE_HEADER) * ATTRIBUTE_HEADER
}

const isLittle = endianness() === 'LE'

/* Netlink uses the machine's byte order. */
function readU16(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readUInt16LE(at) : buffer.readUInt16BE(at)
}

function readU32(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at)
}

function readI32(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readInt32LE(at) : buffer.readInt32BE(at)
}

function writeU16(buffer: Buffer, value: number, at: number): void {
  if (isLittle) buffer.writeUInt16LE(value, at)
  else buffer.writeUInt16BE(value, at)
}

function writeU32(buffer: Buffer, value: number, at: number): void {
  if (isLittle) buffer.writeUInt32LE(value, at)
  else buffer.writeUInt32BE(value, at)
}
