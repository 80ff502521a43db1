import { EPOLL, ERRNO, OPTION } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import type { Envelope, MessageBatch } from '../../linux/message-batch.js'
import { isIpv6, type SocketName } from '../../linux/socket-address.js'
import { socketError } from '../../linux/system-error.js'
import {
  MAX_RETRIES,
  type DatagramTransport,
  type Flow,
  type FlowEvents,
  type PortSocket,
  type PortSocketEvents,
} from '../datagram-proxy.js'
import type { PublishedPort } from '../published-port.js'
import { dialer, type Dial } from './dialer.js'
import type { Kernel } from './kernel.js'
import { bindPort, watchPort } from './port-socket.js'

/** Room for a burst of datagrams, bytes; the kernel cuts it down to net.core.rmem_max, see socket(7). */
const RECEIVE_BUFFER = 2 * 1024 * 1024

/** Datagrams that came from one sender in a row, by their places in the batch. */
interface Run {
  readonly first: number
  readonly count: number
}

/**
 * UDP by recvmmsg(2) and sendmmsg(2).
 * @param batch of all ports of this thread: what it holds is passed on before the next is received
 */
export function udpTransport(
  kernel: Kernel,
  batch: MessageBatch,
  port: PublishedPort,
): DatagramTransport<Run> {
  const dial = dialer(kernel, port)
  let socketFd = -1
  return {
    // eslint-disable-next-line @typescript-eslint/require-await -- what it throws is to reject
    async openSocket(_, events) {
      const socket = new NativePortSocket(kernel, batch, port, events)
      socketFd = socket.fd
      return socket
    },
    openFlow: ({ first }, _, events) =>
      new NativeFlow(kernel, batch, dial, events, socketFd, batch.envelope(first)),
  }
}

const SHUT_DOWN = EPOLL.HUP | EPOLL.RDHUP

class NativePortSocket implements PortSocket, Pollable {
  readonly fd: number
  readonly address: SocketName
  #isClosed = false

  /** @throws ListenError */
  constructor(
    private readonly kernel: Kernel,
    private readonly batch: MessageBatch,
    port: PublishedPort,
    private readonly events: PortSocketEvents<Run>,
  ) {
    const { fd, address } = bindPort(kernel, port)
    this.fd = fd
    this.address = address
    const { calls } = kernel
    calls.setOption(fd, OPTION.SO_RCVBUF, RECEIVE_BUFFER)
    if (address.ip === '0.0.0.0' || address.ip === '::') {
      // Which of its addresses was meant has to be told then; of IPv4 as well, on a socket of both.
      calls.setOption(fd, isIpv6(address.ip) ? OPTION.IPV6_RECVPKTINFO : OPTION.IP_PKTINFO, 1)
    }
    watchPort(kernel, port, fd, EPOLL.IN | EPOLL.RDHUP, this)
  }

  ready(events: number): void {
    const count = this.batch.receive(this.fd)
    for (let first = 0; first < count;) {
      const run = { first, count: this.batch.runLength(first, count) }
      try {
        const bytes = this.batch.dataLength(first, run.count)
        this.events.received(this.batch.key(first), run, bytes)
      } catch (err) {
        this.fail(err) // It is this client's, and the others go on.
      }
      first += run.count
    }
    // Errors are of what was sent before, see ip(7), and not this socket's end; but one that somebody has shut down would come up at
    // once and again.
    if (count <= 0 && events & SHUT_DOWN) {
      this.events.broken(socketError(ERRNO.EINVAL))
    }
  }

  fail(err: unknown): void {
    this.events.failed(err)
  }

  pause(): boolean {
    this.kernel.poller.forget(this.fd)
    return true
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // The parent may have it as well.
    this.kernel.poller.forget(this.fd)
    this.kernel.poller.close(this.fd)
  }
}

class NativeFlow implements Flow<Run>, Pollable {
  #fd = -1
  #dialError: Error | undefined
  #isClosed = false

  constructor(
    private readonly kernel: Kernel,
    private readonly batch: MessageBatch,
    dial: Dial,
    private readonly events: FlowEvents,
    private readonly portFd: number,
    private readonly client: Envelope,
  ) {
    try {
      this.#fd = dial()
      kernel.poller.add(this.#fd, EPOLL.IN, this)
    } catch (err) {
      // Told from the event loop, as every failure.
      this.#dialError = err as Error
      kernel.poller.putOff(this)
    }
  }

  send({ first, count }: Run): void {
    if (!this.#dialError) this.batch.forward(this.#fd, first, count, MAX_RETRIES)
  }

  ready(): void {
    if (this.#isClosed) return
    if (this.#dialError) return this.events.broken(this.#dialError)
    const count = this.batch.receive(this.#fd)
    if (count > 0) {
      this.events.answered(this.batch.dataLength(0, count))
      this.batch.answer(this.portFd, 0, count, this.client)
    } else if (count < 0 && !NOTHING.includes(-count)) {
      this.events.broken(socketError(-count))
    }
  }

  fail(err: unknown): void {
    if (!this.#isClosed) this.events.broken(err as Error)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.kernel.poller.close(this.#fd)
  }
}

/** There is nothing to receive after all. */
const NOTHING: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR]
