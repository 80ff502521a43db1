import { ERRNO, SOCK } from '../../linux/ffi/constants.js'
import { requireFfi } from '../../linux/ffi/ffi.js'
import { socketError } from '../../linux/ffi/system-error.js'
import { ephemeralPorts } from '../../linux/proc/ephemeral-ports.js'
import { localAddress, peerAddress } from '../../linux/sockets/endpoints.js'
import { SOCKET_KINDS } from '../../linux/sockets/port-socket.js'
import {
  encodeSocketAddress,
  familyOf,
  type SocketAddress,
} from '../../linux/sockets/socket-address.js'
import type { Protocol } from '../../ports/host-port.js'
import type { Backend } from '../backend.js'
import { invalidArgument } from '../listen-error.js'
import { setConnectionOptions } from './connection-options.js'
import type { Reactor } from './reactor.js'

/** Starts connections to a backend. */
export class Dialer {
  /** The backend's address in the kernel's form. */
  #target: Target | undefined

  constructor(
    private readonly reactor: Reactor,
    private readonly protocol: Protocol,
    readonly backend: Backend,
  ) {}

  /**
   * @returns the socket, which may still be connecting
   * @throws SystemError if the dial fails at once
   */
  dial(): number {
    const target = (this.#target ??= makeTarget(this.backend.dialAddress))
    const { syscalls } = this.reactor
    const { type, number } = SOCKET_KINDS[this.protocol]
    const fd = syscalls.socket(target.family, type | SOCK.NONBLOCK | SOCK.CLOEXEC, number)
    if (fd < 0) throw socketError(-fd)
    setConnectionOptions(syscalls, fd, this.protocol)
    const result = syscalls.connect(fd, target.pointer, target.bytes.length)
    if (result === 0 || result === -ERRNO.EINPROGRESS) return fd
    syscalls.close(fd)
    throw socketError(-result)
  }

  /** Whether a connected socket is its own peer, as Go's net package checks (tcpsock_posix.go, selfConnect). */
  isSelfConnected(fd: number): boolean {
    if (this.protocol !== 'tcp' || !this.#target?.mayBeItself) return false
    try {
      const [local, peer] = [localAddress(fd), peerAddress(fd)]
      return local !== undefined && local.port === peer?.port && local.ip === peer.ip
    } catch {
      return false // The other end has gone, so there is one.
    }
  }
}

interface Target {
  readonly family: number
  /**
   * Whether the kernel may pick the target's port for the socket itself, and then connect it to itself: the port is in the range of
   * automatic ports. It happens if nobody listens on an address of this host, which the target may become at any time.
   */
  readonly mayBeItself: boolean
  /** Kept, because `pointer` points into it. */
  readonly bytes: Buffer
  readonly pointer: number
}

/** @throws SystemError `EINVAL` for a port that does not exist: each connection is refused, and the proxy goes on */
function makeTarget(address: SocketAddress | undefined): Target {
  if (!address) throw invalidArgument()
  const bytes = encodeSocketAddress(address)
  const { ip, port } = address
  const { first, last } = ephemeralPorts()
  const mayBeItself = port >= first && port <= last
  return { family: familyOf(ip), mayBeItself, bytes, pointer: requireFfi().addressOf(bytes) }
}
