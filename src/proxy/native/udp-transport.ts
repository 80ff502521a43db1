import { EPOLL, ERRNO, OPTION } from '../../linux/ffi/constants.js'
import { socketError } from '../../linux/ffi/system-error.js'
import { EventQueue } from '../../linux/sockets/event-queue.js'
import { isIpv6, isWildcard } from '../../linux/sockets/ip-address.js'
import type { MessageBatch } from '../../linux/sockets/message-batch.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import type { Backend } from '../backend.js'
import {
  RECEIVE_BUFFER,
  type DatagramTransport,
  type Flow,
  type FlowEvents,
  type PortSocket,
  type PortSocketEvents,
} from '../datagram-proxy.js'
import type { PublishedPort } from '../published-port.js'
import type { DatagramRun } from './datagram-run.js'
import { bindPort, watchPort } from './port-socket.js'
import type { Reactor } from './reactor.js'
import { Dialer } from './dialer.js'
import { NativeFlow, type FlowSocket, type WaitingFlow } from './udp-flow.js'

/**
 * UDP by recvmmsg(2) and sendmmsg(2).
 * @param batch shared by all ports of the thread: its datagrams are forwarded before the next ones are received
 */
export function udpTransport(
  reactor: Reactor,
  batch: MessageBatch,
): DatagramTransport<DatagramRun> {
  return new NativeUdpTransport(reactor, batch)
}

class NativeUdpTransport implements DatagramTransport<DatagramRun> {
  #socket!: NativePortSocket
  #dialer: Dialer | undefined

  constructor(
    private readonly reactor: Reactor,
    private readonly batch: MessageBatch,
  ) {}

  // eslint-disable-next-line @typescript-eslint/require-await -- an exception becomes a rejection
  async openSocket(
    port: PublishedPort,
    events: PortSocketEvents<DatagramRun>,
  ): Promise<PortSocket> {
    this.#socket = new NativePortSocket(this.reactor, this.batch, port, events)
    return this.#socket
  }

  openFlow(
    { first }: DatagramRun,
    backend: Backend,
    events: FlowEvents,
    header: Buffer,
  ): Flow<DatagramRun> {
    if (this.#dialer?.backend !== backend) this.#dialer = new Dialer(this.reactor, 'udp', backend)
    const client = this.batch.envelope(first)
    return new NativeFlow(
      ...([this.reactor, this.batch, this.#dialer, events, this.#socket] as const),
      ...([client, header] as const),
    )
  }

  serverIp({ first }: DatagramRun): string | undefined {
    return this.batch.asked(first)
  }

  clientAddress({ first }: DatagramRun): SocketAddress {
    return this.batch.sender(first) ?? { ip: '?', port: 0 }
  }
}

const SHUT_DOWN_EVENTS = EPOLL.HUP | EPOLL.RDHUP

class NativePortSocket implements PortSocket, FlowSocket, Pollable {
  readonly fd: number
  readonly queue = new EventQueue()
  readonly address: SocketAddress
  #isClosed = false
  #isPaused = false
  /** Flows whose backend can't take more at the moment. Meanwhile nothing is received, as in the original. */
  readonly #waitForBackend = new Set<WaitingFlow>()
  /** Flows with replies that can't be sent at the moment. */
  readonly #waitForClients = new Set<WaitingFlow>()

  /** @throws ListenError */
  constructor(
    private readonly reactor: Reactor,
    private readonly batch: MessageBatch,
    port: PublishedPort,
    private readonly events: PortSocketEvents<DatagramRun>,
  ) {
    const { fd, address } = bindPort(reactor, port)
    this.fd = fd
    this.address = address
    const { syscalls } = reactor
    syscalls.setOption(fd, OPTION.SO_RCVBUF, RECEIVE_BUFFER)
    if (isWildcard(address.ip)) {
      // The kernel then tells which local address a datagram was sent to. On a dual-stack socket this covers IPv4 as well.
      const option = isIpv6(address.ip) ? OPTION.IPV6_RECVPKTINFO : OPTION.IP_PKTINFO
      syscalls.setOption(fd, option, 1)
    }
    watchPort(reactor, port, fd, EPOLL.IN | EPOLL.RDHUP, this, this.queue)
  }

  waitForBackend(flow: WaitingFlow, waits: boolean): void {
    setMembership(this.#waitForBackend, flow, waits)
    this.#updateWatch()
  }

  waitForClients(flow: WaitingFlow, waits: boolean): void {
    setMembership(this.#waitForClients, flow, waits)
    this.#updateWatch()
  }

  onReady(events: number): void {
    if (events & EPOLL.OUT) for (const flow of this.#waitForClients) flow.sendReplies()
    if (this.#receives) this.#receive(events)
  }

  #receive(events: number): void {
    const count = this.batch.receive(this.fd)
    for (let first = 0; first < count;) {
      const run = { first, count: this.batch.runLength(first, count) }
      try {
        const bytes = this.batch.dataLength(first, run.count)
        this.events.received(this.batch.key(first), run, bytes, run.count)
      } catch (err) {
        this.onError(err) // Only this client is affected.
      }
      first += run.count
    }
    // An error belongs to an earlier datagram, see ip(7), and does not end the socket. But a socket that was shut down would be reported
    // again and again.
    if (count <= 0 && events & SHUT_DOWN_EVENTS) {
      this.events.listenerBroke(socketError(ERRNO.EINVAL))
    }
  }

  onError(err: unknown): void {
    this.events.listenerFaulted(err)
  }

  pause(): boolean {
    this.#isPaused = true
    this.#updateWatch()
    return true
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    // The parent may have the socket as well, so closing alone would not remove it from the set.
    this.reactor.poller.unwatch(this.fd)
    this.reactor.poller.close(this.fd)
  }

  get #receives(): boolean {
    return !this.#isPaused && this.#waitForBackend.size === 0
  }

  #updateWatch(): void {
    if (this.#isClosed) return
    const toReceive = this.#receives ? EPOLL.IN | EPOLL.RDHUP : 0
    const toSend = this.#waitForClients.size > 0 ? EPOLL.OUT : 0
    this.reactor.poller.modify(this.fd, toReceive | toSend)
  }
}

function setMembership<T>(set: Set<T>, item: T, isMember: boolean): void {
  if (isMember) set.add(item)
  else set.delete(item)
}
