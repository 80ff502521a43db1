import { closeSync } from 'node:fs'
import { IPPROTO, SOCK } from './constants.js'
import { errnoCode } from './errno.js'
import { requireLibc } from './libc.js'
import { familyOf, isIpv6, socketAddress } from './socket-address.js'

/** The kind of socket a port of this protocol has. */
export const SOCKET_KINDS = {
  tcp: { type: SOCK.STREAM, number: IPPROTO.TCP },
  udp: { type: SOCK.DGRAM, number: IPPROTO.UDP },
  sctp: { type: SOCK.STREAM, number: IPPROTO.SCTP },
} as const

export type SocketKind = keyof typeof SOCKET_KINDS

/** As much as the kernel allows: it cuts this down to net.core.somaxconn, see listen(2). */
export const BACKLOG = 65_535
/** Whichever is free, see ip(7). */
const ANY_PORT = 0

/**
 * Binds a socket for a published port and, but for UDP, listens: clients wait in its backlog until a proxy
 * accepts them. An IPv6 socket is IPv6-only.
 *
 * @returns its descriptor, closed on exec
 * @throws SystemError `EADDRINUSE` when somebody has the port, `EACCES`, `EADDRNOTAVAIL`,
 *   `EAFNOSUPPORT` or `EPROTONOSUPPORT` when the kernel has no such family or protocol, `EMFILE`
 */
export function openPortSocket(protocol: SocketKind, ip: string, port: number): number {
  return withBoundSocket(protocol, ip, port, (fd) => {
    if (protocol !== 'udp') requireLibc().listen(fd, BACKLOG)
    return fd
  })
}

/**
 * Whether a port could be bound now. Nothing listens meanwhile, so no client is turned away by the question.
 * Throws as openPortSocket, but for `EADDRINUSE`.
 */
export function isPortFree(protocol: SocketKind, ip: string, port: number): boolean {
  try {
    withBoundSocket(protocol, ip, port, closeSync)
    return true
  } catch (err) {
    if (errnoCode(err) === 'EADDRINUSE') return false
    throw err
  }
}

/**
 * Whether this host has IPv6: dockerd looks for the same, since a kernel told to do without still binds `::`.
 */
export function hasIpv6(): boolean {
  try {
    return isPortFree('tcp', '::1', ANY_PORT)
  } catch (err) {
    return !['EAFNOSUPPORT', 'EADDRNOTAVAIL'].includes(errnoCode(err) ?? '')
  }
}

function withBoundSocket<T>(
  protocol: SocketKind,
  ip: string,
  port: number,
  use: (fd: number) => T,
): T {
  const libc = requireLibc()
  const { type, number } = SOCKET_KINDS[protocol]
  const fd = libc.socket(familyOf(ip), type | SOCK.CLOEXEC, number)
  try {
    if (isIpv6(ip)) libc.ipv6Only(fd)
    // With UDP it would mean that two may have the port at once, see socket(7).
    if (protocol !== 'udp') libc.reuseAddress(fd)
    libc.bind(fd, socketAddress(ip, port))
    return use(fd)
  } catch (err) {
    closeSync(fd)
    throw err
  }
}
