import { EPOLL, ERRNO } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import type { Envelope, MessageBatch } from '../../linux/message-batch.js'
import { socketError } from '../../linux/system-error.js'
import { MAX_RETRIES, type Flow, type FlowEvents } from '../datagram-proxy.js'
import type { Dial } from './dialer.js'
import type { Kernel } from './kernel.js'
import type { Run } from './udp.js'

/** There is nothing to receive after all. */
const NOTHING: readonly number[] = [ERRNO.EAGAIN, ERRNO.EINTR]

/** @see DatagramTransport.openFlow */
export class NativeFlow implements Flow<Run>, Pollable {
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
