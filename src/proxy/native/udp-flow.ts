import { EPOLL, ERRNO } from '../../linux/ffi/constants.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { Envelope, MessageBatch } from '../../linux/sockets/message-batch.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import { MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import type { DatagramRun } from './datagram-run.js'
import type { Dialer } from './dialer.js'
import type { Reactor } from './reactor.js'

/** Results of a receive that mean: there is no datagram after all. */
const NOTHING_RECEIVED: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR]

/** @see DatagramTransport.openFlow */
export class NativeFlow implements Flow<DatagramRun>, Pollable {
  #fd = -1
  #dialError: Error | undefined
  #isClosed = false

  /**
   * @param portFd the port's socket, from which replies are sent
   * @param client where replies go
   */
  constructor(
    private readonly reactor: Reactor,
    private readonly batch: MessageBatch,
    dialer: Dialer,
    private readonly events: FlowEvents,
    private readonly portFd: number,
    private readonly client: Envelope,
  ) {
    try {
      this.#fd = dialer.dial()
      reactor.poller.watch(this.#fd, EPOLL.IN, this)
    } catch (err) {
      // Reported from the event loop, like all other failures.
      this.#dialError = err as Error
      reactor.poller.defer(this)
    }
  }

  send({ first, count }: DatagramRun): void {
    if (!this.#dialError) this.batch.forward(this.#fd, first, count, MAX_RETRIES)
  }

  onReady(): void {
    if (this.#isClosed) return
    if (this.#dialError) return this.events.broke(this.#dialError)
    const count = this.batch.receive(this.#fd)
    if (count > 0) {
      this.events.replied(this.batch.dataLength(0, count))
      this.batch.reply(this.portFd, 0, count, this.client)
    } else if (count < 0 && !NOTHING_RECEIVED.includes(-count)) {
      this.events.broke(socketError(-count))
    }
  }

  onError(err: unknown): void {
    if (!this.#isClosed) this.events.broke(err as Error)
  }

  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.reactor.poller.close(this.#fd)
  }
}
