import { EPOLL, ERRNO, LISTENS_NO_MORE, SHORTAGES, SOCK } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import type { SocketName } from '../../linux/socket-address.js'
import { socketError } from '../../linux/system-error.js'
import type { Listener, ListenerEvents } from '../connection-proxy.js'
import type { PublishedPort } from '../published-port.js'
import { setConnectionOptions } from './connection-options.js'
import type { Kernel } from './kernel.js'
import { bindPort, watchPort } from './port-socket.js'

/** Connections accepted before those that are there have their turn: a connection costs much more than a request. */
const BATCH = 4
/** How long to wait after a shortage or another trouble of the system's, milliseconds. */
const RETRY_MS = 100

/** The port's listening socket. */
export class NativeListener implements Listener, Pollable {
  readonly address: SocketName
  readonly fd: number
  #isClosed = false
  #isPaused = false
  /** Set while nothing is accepted because the system is in trouble. */
  #retry: NodeJS.Timeout | undefined
  /** Whether all that wait have been made since the options were set, and so have them. */
  #inheritsOptions: boolean

  /**
   * @param closed called when it is
   * @throws ListenError
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly port: PublishedPort,
    private readonly events: ListenerEvents<number>,
    private readonly closed: () => void,
  ) {
    const { fd, address } = bindPort(kernel, port)
    this.fd = fd
    this.address = address
    const { calls } = kernel
    // The parent shares this flag, as it does with every proxy that does not block.
    calls.setNonBlocking(fd)
    setConnectionOptions(calls, fd, port.protocol)
    this.#inheritsOptions = port.listenFd === undefined
    watchPort(kernel, port, fd, EPOLL.IN, this)
  }

  pause(): boolean {
    this.#isPaused = true
    this.#ask()
    return true
  }

  resume(): void {
    this.#isPaused = false
    this.#ask()
  }

  close(): void {
    clearTimeout(this.#retry)
    if (this.#isClosed) return
    this.#isClosed = true
    // The parent may have it as well.
    this.kernel.poller.forget(this.fd)
    this.kernel.poller.close(this.fd)
    this.closed()
  }

  ready(events: number): void {
    // A socket that was shut down says so even when nothing is asked for.
    if (this.#isPaused && !(events & EPOLL.HUP)) return
    for (let i = 0; i < BATCH && !(i > 0 && this.#isPaused); i++) {
      const answer = this.kernel.calls.accept(this.fd, SOCK.NONBLOCK | SOCK.CLOEXEC)
      if (answer >= 0) {
        if (!this.#inheritsOptions)
          setConnectionOptions(this.kernel.calls, answer, this.port.protocol)
        this.events.connection(answer)
      } else if (answer === -ERRNO.EAGAIN) {
        this.#inheritsOptions = true
        return
      } else if (LISTENS_NO_MORE.includes(-answer)) {
        this.events.broken(socketError(-answer))
        return
      } else if (SHORTAGES.includes(-answer)) {
        this.events.exhausted()
        this.#waitAWhile()
        return
      } else if (answer !== -ERRNO.ECONNABORTED && answer !== -ERRNO.EINTR) {
        // Of the network, see accept(2); it may last.
        this.#waitAWhile()
        return
      }
    }
  }

  fail(err: unknown): void {
    this.events.failed(err)
  }

  #waitAWhile(): void {
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      this.#ask()
    }, RETRY_MS)
    this.#ask()
  }

  /** Asks for connections, or for none: a socket that is not accepted from would come up at once and again. */
  #ask(): void {
    if (this.#isClosed) return
    this.kernel.poller.change(this.fd, this.#isPaused || this.#retry ? 0 : EPOLL.IN)
  }
}
