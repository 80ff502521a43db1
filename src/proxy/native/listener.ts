import { EPOLL, ERRNO, NOT_LISTENING, OPTION, SHORTAGES, SOCK } from '../../linux/ffi/constants.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import type { Listener, ListenerEvents } from '../transport.js'
import type { PublishedPort } from '../published-port.js'
import { setConnectionOptions } from './connection-options.js'
import { bindPort, watchPort } from './port-socket.js'
import type { Reactor } from './reactor.js'

/** Connections accepted per turn. Accepting costs much more than relaying a request, and open connections must get their turn. */
const BATCH = 4
/** Wait after a shortage or a network error, milliseconds. */
const RETRY_MS = 100

/** The listening socket of a port. */
export class NativeListener implements Listener, Pollable {
  readonly address: SocketAddress
  readonly fd: number
  #isClosed = false
  #isPaused = false
  /** Set while nothing is accepted because of a shortage or a network error. */
  #retry: NodeJS.Timeout | undefined
  /** Whether all waiting connections were made after the options were set, and have inherited them. */
  #inheritsOptions: boolean

  /**
   * @param onClosed called once the listener is closed
   * @param userTimeoutMs TCP_USER_TIMEOUT of the connections, milliseconds; 0 for the kernel's own limit
   * @throws ListenError
   */
  constructor(
    private readonly reactor: Reactor,
    private readonly port: PublishedPort,
    private readonly events: ListenerEvents<number>,
    private readonly onClosed: () => void,
    private userTimeoutMs: number,
  ) {
    const { fd, address } = bindPort(reactor, port)
    this.fd = fd
    this.address = address
    const { syscalls } = reactor
    // The parent shares this flag, as it does with every non-blocking proxy.
    syscalls.setNonBlocking(fd)
    setConnectionOptions(syscalls, fd, port.protocol, userTimeoutMs)
    this.#inheritsOptions = port.listenFd === undefined
    // One that was handed over may have the timeout of another process.
    if (!this.#inheritsOptions) this.changeUserTimeout(userTimeoutMs)
    watchPort(reactor, port, fd, EPOLL.IN, this, reactor.accepts)
  }

  pause(): boolean {
    this.#isPaused = true
    this.#updateWatch()
    return true
  }

  resume(): void {
    this.#isPaused = false
    this.#updateWatch()
  }

  /** @param userTimeoutMs of connections that are made from now on */
  changeUserTimeout(userTimeoutMs: number): void {
    if (this.#isClosed || this.port.protocol !== 'tcp') return
    this.userTimeoutMs = userTimeoutMs
    this.reactor.syscalls.setOption(this.fd, OPTION.TCP_USER_TIMEOUT, userTimeoutMs)
  }

  close(): void {
    clearTimeout(this.#retry)
    if (this.#isClosed) return
    this.#isClosed = true
    // The parent may have the socket as well, so closing alone would not remove it from the set.
    this.reactor.poller.unwatch(this.fd)
    this.reactor.poller.close(this.fd)
    this.onClosed()
  }

  onReady(events: number): void {
    // A socket that was shut down reports it even when no event is asked for.
    if (this.#isPaused && !(events & EPOLL.HUP)) return
    for (let i = 0; i < BATCH && !(i > 0 && this.#isPaused); i++) {
      const result = this.reactor.syscalls.accept(this.fd, SOCK.NONBLOCK | SOCK.CLOEXEC)
      if (result >= 0) this.#accepted(result)
      else if (!this.#continueAfter(-result)) return
    }
  }

  onError(err: unknown): void {
    this.events.listenerFaulted(err)
  }

  #accepted(client: number): void {
    if (!this.#inheritsOptions) {
      setConnectionOptions(this.reactor.syscalls, client, this.port.protocol, this.userTimeoutMs)
    }
    this.events.accepted(client)
  }

  /** Handles an error of accept(2). @returns whether to accept again at once */
  #continueAfter(errno: number): boolean {
    if (errno === ERRNO.ECONNABORTED || errno === ERRNO.EINTR) return true
    if (errno === ERRNO.EAGAIN) {
      this.#inheritsOptions = true
    } else if (NOT_LISTENING.includes(errno)) {
      this.events.listenerBroke(socketError(errno))
    } else {
      if (SHORTAGES.includes(errno)) this.events.outOfResources()
      // Otherwise it is an error of the network, see accept(2), which may last.
      this.#pauseBriefly()
    }
    return false
  }

  #pauseBriefly(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#updateWatch()
    }, RETRY_MS)
    this.#updateWatch()
  }

  /** While nothing is accepted, nothing is watched: the socket would be reported again and again. */
  #updateWatch(): void {
    if (this.#isClosed) return
    this.reactor.poller.modify(this.fd, this.#isPaused || this.#retry ? 0 : EPOLL.IN)
  }
}
