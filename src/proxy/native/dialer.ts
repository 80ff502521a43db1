import { ERRNO, OPTION, SOCK } from '../../linux/ffi/constants.js'
import { requireFfi } from '../../linux/ffi/ffi.js'
import { socketError } from '../../linux/ffi/system-error.js'
import { localAddress, peerAddress } from '../../linux/sockets/endpoints.js'
import { isIpv6 } from '../../linux/sockets/ip-address.js'
import { SOCKET_KINDS } from '../../linux/sockets/port-socket.js'
import {
  encodeSocketAddress,
  familyOf,
  setPort,
  type SocketAddress,
} from '../../linux/sockets/socket-address.js'
import type { Protocol } from '../../ports/host-port.js'
import type { Backend } from '../backend.js'
import { invalidArgument } from '../listen-error.js'
import { isAutomaticPort, isOutOfPorts, LocalPorts, MAX_LOCAL_PORTS } from '../local-ports.js'
import { WaitingDials, type WaitingDial } from '../waiting-dials.js'
import { setConnectionOptions } from './connection-options.js'
import type { Reactor } from './reactor.js'

/** Errors of a local port: another program has it, or the pair of addresses is in use. */
const PORT_TAKEN: readonly number[] = [ERRNO.EADDRINUSE, ERRNO.EADDRNOTAVAIL]

/** Starts connections to a backend. */
export class Dialer {
  /** The backend's address in the kernel's form. */
  #target: Target | undefined
  #ports: LocalPorts | undefined
  #waiting: WaitingDials | undefined

  constructor(
    private readonly reactor: Reactor,
    private readonly protocol: Protocol,
    readonly backend: Backend,
    /** Returns TCP_USER_TIMEOUT, milliseconds; 0 for the kernel's own limit. */
    private readonly userTimeoutMs = (): number => 0,
  ) {}

  /**
   * @returns the socket, which may still be connecting
   * @throws SystemError if the dial fails at once
   */
  dial(): number {
    const target = (this.#target ??= makeTarget(this.backend.dialAddress))
    for (let tries = 0; this.protocol === 'tcp' && tries < MAX_LOCAL_PORTS; tries++) {
      const port = (this.#ports ??= new LocalPorts(this.backend.address.port)).next()
      if (port === undefined) break
      const result = this.#connect(target, port)
      if (result >= 0) return result
      if (!PORT_TAKEN.includes(-result)) throw socketError(-result)
    }
    const result = this.#connect(target)
    if (result >= 0) return result
    throw socketError(-result)
  }

  /**
   * @param port local port; undefined if the kernel shall choose it
   * @returns the socket, or the negative errno
   * @throws SystemError `EMFILE`
   */
  #connect(target: Target, port?: number): number {
    const { syscalls } = this.reactor
    const { type, number } = SOCKET_KINDS[this.protocol]
    const fd = syscalls.socket(target.family, type | SOCK.NONBLOCK | SOCK.CLOEXEC, number)
    if (fd < 0) throw socketError(-fd)
    setConnectionOptions(syscalls, fd, this.protocol, this.userTimeoutMs())
    let result = 0
    if (port !== undefined) {
      const { bytes, pointer } = target.local
      setPort(bytes, port)
      syscalls.setOption(fd, OPTION.SO_REUSEADDR, 1)
      // A port that this user may not bind counts as taken.
      if (syscalls.bind(fd, pointer, bytes.length) < 0) result = -ERRNO.EADDRINUSE
    }
    if (result === 0)
      result = syscalls.connect(fd, target.remote.pointer, target.remote.bytes.length)
    if (result === 0 || result === -ERRNO.EINPROGRESS) return fd
    syscalls.close(fd)
    return result
  }

  /** Has a dial tried again when a local port may be free. */
  waitForPort(dial: WaitingDial): void {
    const { poller } = this.reactor
    this.#waiting ??= new WaitingDials((milliseconds, callback) =>
      poller.delay(milliseconds, callback),
    )
    this.#waiting.add(dial)
  }

  /** Whether a dial has failed because no local port is free. */
  isOutOfPorts(err: unknown): boolean {
    return isOutOfPorts(err, this.backend.dialAddress?.ip ?? '')
  }

  /**
   * Whether a connected socket is its own peer, because nobody listens at the backend, and the kernel has picked the backend's port for the
   * socket itself. Source: Go's net package, selfConnect in tcpsock_posix.go.
   */
  isSelfConnected(fd: number): boolean {
    if (this.protocol !== 'tcp' || !isAutomaticPort(this.backend.address.port)) return false
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
  readonly remote: Encoded
  /** All addresses of this host, with the port of the next dial. */
  readonly local: Encoded
}

/** An address in the kernel's form. */
interface Encoded {
  /** Kept, because `pointer` points into it. */
  readonly bytes: Buffer
  readonly pointer: number
}

function encode(address: SocketAddress): Encoded {
  const bytes = encodeSocketAddress(address)
  return { bytes, pointer: requireFfi().addressOf(bytes) }
}

/** @throws SystemError `EINVAL` for a port that does not exist: each connection is refused, and the proxy goes on */
function makeTarget(address: SocketAddress | undefined): Target {
  if (!address) throw invalidArgument()
  const { ip } = address
  const local = encode({ ip: isIpv6(ip) ? '::' : '0.0.0.0', port: 0 })
  return { family: familyOf(ip), remote: encode(address), local }
}
