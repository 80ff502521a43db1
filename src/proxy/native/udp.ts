import { EPOLL, ERRNO, OPTION } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import type { MessageBatch } from '../../linux/message-batch.js'
import { isIpv6, type SocketName } from '../../linux/socket-address.js'
import { socketError } from '../../linux/system-error.js'
import {
  RECEIVE_BUFFER,
  type DatagramTransport,
  type PortSocket,
  type PortSocketEvents,
} from '../datagram-proxy.js'
import type { PublishedPort } from '../published-port.js'
import { dialer } from './dialer.js'
import type { Kernel } from './kernel.js'
import { bindPort, watchPort } from './port-socket.js'
import { NativeFlow } from './udp-flow.js'

/** Datagrams that came from one sender in a row, by their places in the batch. */
export interface Run {
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
