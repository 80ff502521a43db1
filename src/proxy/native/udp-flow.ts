import { EPOLL, ERRNO, OPTION } from '../../linux/ffi/constants.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { EventQueue } from '../../linux/sockets/event-queue.js'
import type { Envelope, MessageBatch } from '../../linux/sockets/message-batch.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import { isNetworkError, MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import type { DatagramRun } from './datagram-run.js'
import type { Dialer } from './dialer.js'
import type { Reactor } from './reactor.js'

/** Results of a receive that mean: there is no datagram after all. */
const NOTHING_RECEIVED: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR]

/** A flow with datagrams that can't be sent at the moment. */
export interface WaitingFlow {
  /** Sends the replies that wait. */
  sendReplies(): void
}

/** The socket of the port, which all flows share. */
export interface FlowSocket {
  readonly fd: number
  /** The events of the port. */
  readonly queue: EventQueue
  /** While any flow waits for its backend, nothing is received. */
  waitForBackend(flow: WaitingFlow, waits: boolean): void
  /** Once the socket is writable, the flow is asked to send its replies. */
  waitForClients(flow: WaitingFlow, waits: boolean): void
}

/** @see DatagramTransport.openFlow */
export class NativeFlow implements Flow<DatagramRun>, WaitingFlow, Pollable {
  #fd = -1
  #dialError: Error | undefined
  #isClosed = false
  /** Datagrams that the socket to the backend can't take yet. */
  #unsent: Buffer[] = []
  /** Replies that the port's socket can't take yet. Meanwhile nothing is received from the backend. */
  #unsentReplies: Buffer[] = []

  /**
   * @param socket the port's socket, from which replies are sent
   * @param client where replies go
   * @param header before each datagram to the backend; empty for none
   */
  constructor(
    private readonly reactor: Reactor,
    private readonly batch: MessageBatch,
    dialer: Dialer,
    private readonly events: FlowEvents,
    private readonly socket: FlowSocket,
    private readonly client: Envelope,
    private readonly header: Buffer,
  ) {
    try {
      this.#fd = dialer.dial()
      reactor.poller.watch(this.#fd, EPOLL.IN, this, socket.queue)
    } catch (err) {
      // Reported from the event loop, like all other failures.
      this.#dialError = err as Error
      reactor.poller.defer(this)
    }
  }

  send({ first, count }: DatagramRun): void {
    if (this.#dialError) return
    const wasWaiting = this.#unsent.length > 0
    const done = wasWaiting
      ? 0
      : this.batch.forward(this.#fd, first, count, MAX_RETRIES, this.header)
    if (done === count) return
    for (let place = first + done; place < first + count; place++) {
      this.#unsent.push(this.batch.copy(place))
    }
    if (wasWaiting) return
    this.#updateWatch()
    this.socket.waitForBackend(this, true)
  }

  onReady(events: number): void {
    if (this.#isClosed) return
    if (this.#dialError) return this.events.broke(this.#dialError)
    if (events & EPOLL.OUT) this.#sendUnsent()
    if (this.#unsentReplies.length === 0) this.#receive()
    else if (events & EPOLL.ERR) this.#clearError()
  }

  sendReplies(): void {
    this.batch.load(this.#unsentReplies)
    const count = this.#unsentReplies.length
    const done = this.batch.reply(this.socket.fd, 0, count, this.client)
    this.#unsentReplies = this.#unsentReplies.slice(done)
    if (this.#unsentReplies.length > 0) return
    this.socket.waitForClients(this, false)
    this.#updateWatch()
  }

  onError(err: unknown): void {
    if (!this.#isClosed) this.events.broke(err as Error)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#unsent.length > 0) this.socket.waitForBackend(this, false)
    if (this.#unsentReplies.length > 0) this.socket.waitForClients(this, false)
    this.reactor.poller.close(this.#fd)
  }

  #receive(): void {
    const count = this.batch.receive(this.#fd)
    if (count > 0) {
      const bytes = this.batch.dataLength(0, count)
      if (!this.events.mayReply(bytes)) return this.events.dropped(count)
      this.events.replied(bytes)
      const done = this.batch.reply(this.socket.fd, 0, count, this.client)
      if (done < count) this.#keepReplies(done, count)
    } else if (count < 0 && !NOTHING_RECEIVED.includes(-count)) {
      this.#failed(-count)
    }
  }

  #keepReplies(first: number, end: number): void {
    for (let place = first; place < end; place++) this.#unsentReplies.push(this.batch.copy(place))
    this.#updateWatch()
    this.socket.waitForClients(this, true)
  }

  #sendUnsent(): void {
    if (this.#unsent.length === 0) return
    this.batch.load(this.#unsent)
    const done = this.batch.forward(this.#fd, 0, this.#unsent.length, MAX_RETRIES, this.header)
    this.#unsent = this.#unsent.slice(done)
    if (this.#unsent.length > 0) return
    this.#updateWatch()
    this.socket.waitForBackend(this, false)
  }

  /** Nothing is received at the moment, which would clear the error: it would be reported again and again. */
  #clearError(): void {
    const errno = this.reactor.syscalls.getOption(this.#fd, OPTION.SO_ERROR)
    if (errno > 0) this.#failed(errno)
  }

  #failed(errno: number): void {
    const err = socketError(errno)
    // A backend that can't be reached now may be up when the client sends again.
    if (isNetworkError(err)) this.events.networkFailed(err)
    else this.events.broke(err)
  }

  #updateWatch(): void {
    const toReceive = this.#unsentReplies.length === 0 ? EPOLL.IN : 0
    const toSend = this.#unsent.length > 0 ? EPOLL.OUT : 0
    this.reactor.poller.modify(this.#fd, toReceive | toSend)
  }
}
