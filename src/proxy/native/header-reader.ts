import { EPOLL, ERRNO } from '../../linux/ffi/constants.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import { LONGEST_HEADER, parseProxyHeader, type ParsedHeader } from '../parse-proxy-header.js'
import type { Reactor } from './reactor.js'
import { CLOSED_EVENTS } from './relay-side.js'

/** Edge-triggered: an incomplete header stays in the socket until more has come. */
const EVENTS = EPOLL.IN | EPOLL.RDHUP | EPOLL.ET
const END_EVENTS = EPOLL.RDHUP | CLOSED_EVENTS

/** Reads a header from a client, and nothing behind it. @see Transport.readHeader */
export class HeaderReader implements Pollable {
  #isOver = false

  constructor(
    private readonly reactor: Reactor,
    private readonly client: number,
    private readonly done: (header: ParsedHeader | undefined) => void,
  ) {
    try {
      reactor.poller.watch(client, EVENTS, this)
    } catch {
      // The kernel has no memory for one more. Reported from the event loop, as everything else.
      reactor.poller.defer({ onReady: () => this.#end(undefined), onError: () => undefined })
    }
  }

  /** Stops reading. `done` is not called any more. */
  stop(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.reactor.poller.unwatch(this.client)
  }

  onReady(events: number): void {
    if (this.#isOver) return
    const { buffer, syscalls } = this.reactor
    const count = syscalls.peek(this.client, buffer.address, LONGEST_HEADER)
    if (count === -ERRNO.EAGAIN || count === -ERRNO.EINTR) return
    const received = buffer.bytes.subarray(0, Math.max(count, 0))
    const header = count > 0 ? parseProxyHeader(received) : 'invalid'
    if (header === 'incomplete' && !(events & END_EVENTS)) return
    if (header === 'invalid' || header === 'incomplete') return this.#end(undefined)
    const read = syscalls.receive(this.client, buffer.address, header.length)
    // Urgent data in the header ends a read early.
    this.#end(read === header.length ? header : undefined)
  }

  onError(): void {
    this.#end(undefined)
  }

  #end(header: ParsedHeader | undefined): void {
    if (this.#isOver) return
    this.stop()
    this.done(header)
  }
}
