import { closeSync } from 'node:fs'
import { IPPROTO, SOCK } from '../ffi/constants.js'
import { errnoCode } from '../errno.js'
import { requireCheckedSyscalls } from '../ffi/checked-syscalls.js'
import { isIpv6 } from './ip-address.js'
import { encodeSocketAddress, familyOf, setPort, type SocketAddress } from './socket-address.js'

/** The socket type and protocol number of each protocol. */
export const SOCKET_KINDS = {
  tcp: { type: SOCK.STREAM, number: IPPROTO.TCP },
  udp: { type: SOCK.DGRAM, number: IPPROTO.UDP },
  sctp: { type: SOCK.STREAM, number: IPPROTO.SCTP },
} as const

export type SocketKind = keyof typeof SOCKET_KINDS

/** The address of a bound socket. */
export interface BindAddress extends SocketAddress {
  readonly protocol: SocketKind
}

/** Length of a listener's backlog, connections. The kernel reduces it to net.core.somaxconn, see listen(2). */
export const BACKLOG = 65_535
/** The kernel picks a free port, see ip(7). */
const ANY_PORT = 0

/**
 * Binds the socket of a published port. A TCP or SCTP socket also listens: clients wait in its backlog until a proxy accepts them. An IPv6
 * socket is IPv6-only.
 *
 * @returns the descriptor, which is closed on exec
 * @throws SystemError `EADDRINUSE` if the port is taken, `EACCES`, `EADDRNOTAVAIL`, `EAFNOSUPPORT` or `EPROTONOSUPPORT` if the kernel lacks
 *   the family or protocol, `EMFILE`
 */
export function openPortSocket(address: BindAddress): number {
  const fd = openBoundSocket(address, setOptions)
  if (address.protocol === 'udp') return fd
  try {
    requireCheckedSyscalls().listen(fd, BACKLOG)
    return fd
  } catch (err) {
    closeSync(fd)
    throw err
  }
}

/**
 * Whether a port can be bound now. The socket never listens, so no client sees it.
 * @throws SystemError as openPortSocket, except `EADDRINUSE`
 */
export function isPortFree(address: BindAddress): boolean {
  // The options only allow more. Most ports are free without them, and each option is a system call.
  return canBindWith(address, () => undefined) || canBindWith(address, setOptions)
}

/** As isPortFree, but a port that can't be tried counts as not free. */
export function canBind(address: BindAddress): boolean {
  try {
    return isPortFree(address)
  } catch {
    return false
  }
}

/** Whether this host has IPv6. dockerd uses the same test: a kernel with IPv6 disabled can still bind `::`. */
export function hasIpv6(): boolean {
  try {
    return isPortFree({ protocol: 'tcp', ip: '::1', port: ANY_PORT })
  } catch (err) {
    return !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errnoCode(err) ?? '')
  }
}

function canBindWith(address: BindAddress, prepare: Prepare): boolean {
  try {
    closeSync(openBoundSocket(address, prepare))
    return true
  } catch (err) {
    if (errnoCode(err) === 'EADDRINUSE') return false
    throw err
  }
}

/** Prepares a socket for its bind(2). */
type Prepare = (fd: number, address: BindAddress) => void

function setOptions(fd: number, { ip, protocol }: BindAddress): void {
  const syscalls = requireCheckedSyscalls()
  if (isIpv6(ip)) syscalls.ipv6Only(fd)
  // On UDP, SO_REUSEADDR would let two processes bind the same port, see socket(7).
  if (protocol !== 'udp') syscalls.reuseAddress(fd)
}

function openBoundSocket(address: BindAddress, prepare: Prepare): number {
  const syscalls = requireCheckedSyscalls()
  const { type, number } = SOCKET_KINDS[address.protocol]
  const fd = syscalls.socket(familyOf(address.ip), type | SOCK.CLOEXEC, number)
  try {
    prepare(fd, address)
    syscalls.bind(fd, encode(address))
    return fd
  } catch (err) {
    closeSync(fd)
    throw err
  }
}

/** The last address that was encoded: thousands of ports of one address may follow each other. */
let last: { readonly ip: string; readonly encoded: Buffer } | undefined

/** @returns an address that is valid until the next call */
function encode({ ip, port }: BindAddress): Buffer {
  if (last?.ip !== ip) last = { ip, encoded: encodeSocketAddress({ ip, port }) }
  setPort(last.encoded, port)
  return last.encoded
}
