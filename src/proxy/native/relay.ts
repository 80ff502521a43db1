import { EPOLL, OPTION, SHUT_WR } from '../../linux/constants.js'
import { isReset } from '../../linux/errno.js'
import { socketError } from '../../linux/system-error.js'
import type { Relay, RelayEvents } from '../connection-proxy.js'
import type { Dial } from './dialer.js'
import { Direction } from './direction.js'
import type { Kernel } from './kernel.js'
import { EVERYTHING, GONE, RelaySide, type RelaySideOwner } from './relay-side.js'
import { Reset } from './reset.js'

/** A backend that a client is joined to already, and what was moved so far. */
export interface Joined {
  readonly fd: number
  readonly bytesIn: number
  readonly bytesOut: number
}

export interface NativeRelayEvents extends Omit<RelayEvents, 'moved'> {
  /** Some bytes have been moved. */
  advanced?(relay: Relay): void
}

/**
 * A client and the backend, joined by two directions.
 *
 *     dialing ──connected──▶ joined ──both directions over───────────────────────────▶ closed
 *        │                     └──a side is reset──▶ resetting ──the other has been sent all──▲
 *        └──refused, or the client is gone────────────────────────────────────────────────────┘
 *
 * A direction that is over shuts the other side down for writing. A side that is broken has the other one reset, once
 * that has been sent what came before.
 */
export class NativeRelay implements Relay, RelaySideOwner {
  readonly #client: RelaySide
  readonly #backend: RelaySide
  readonly #up: Direction
  readonly #down: Direction
  #state: 'dialing' | 'joined' | 'resetting' | 'closed' = 'dialing'
  #isPutOff = false
  #reset: Reset | undefined
  #dialError: Error | undefined
  /** What has failed here, and not with the backend. */
  #fault: unknown

  /**
   * @param client connected; it belongs to the relay from now on
   * @param backend how to reach it; or what another relay has let go
   * @param isSctp whether its sockets are SCTP's: a read brings no more than one message, whatever else is there, and there is no half-close
   */
  constructor(
    private readonly kernel: Kernel,
    private readonly events: NativeRelayEvents,
    client: number,
    backend: Dial | Joined,
    private readonly isSctp: boolean,
  ) {
    const isJoined = typeof backend !== 'function'
    this.#client = new RelaySide(this, isSctp, client)
    this.#backend = new RelaySide(this, isSctp, isJoined ? backend.fd : -1)
    this.#up = new Direction(kernel, this.#client, this.#backend)
    this.#down = new Direction(kernel, this.#backend, this.#client)
    try {
      kernel.poller.add(client, EVERYTHING, this.#client)
      if (isJoined) {
        this.#up.bytes = backend.bytesIn
        this.#down.bytes = backend.bytesOut
      } else {
        this.#backend.fd = this.#reach(backend)
      }
      kernel.poller.add(this.#backend.fd, EVERYTHING, this.#backend)
      if (isJoined) this.#state = 'joined'
    } catch (err) {
      // Told from the event loop, as every failure.
      this.#fault = this.#dialError ? undefined : err
      kernel.poller.putOff(this.#client)
    }
  }

  get bytesIn(): number {
    return this.#up.bytes
  }

  get bytesOut(): number {
    return this.#down.bytes
  }

  destroy(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#up.abandon()
    this.#down.abandon()
    this.kernel.poller.close(this.#client.fd)
    this.kernel.poller.close(this.#backend.fd)
    this.events.ended(this)
  }

  /**
   * Lets both sockets go, for another thread to take them; undefined where there is something under way.
   * The relay is over then, without having `ended`.
   */
  letGo(): ({ readonly client: number } & Joined) | undefined {
    const isQuiet = this.#up.isQuiet && this.#down.isQuiet && !this.#isPutOff
    if (this.#state !== 'joined' || !isQuiet) return undefined
    this.#state = 'closed'
    this.kernel.poller.forget(this.#client.fd)
    this.kernel.poller.forget(this.#backend.fd)
    const { bytesIn, bytesOut } = this
    return { client: this.#client.fd, fd: this.#backend.fd, bytesIn, bytesOut }
  }

  ready(side: RelaySide, events: number): void {
    if (this.#state === 'closed') return
    if (this.#fault) return this.fail(this.#fault)
    if (events === 0) this.#isPutOff = false
    if (this.#state === 'dialing') this.#dial(side, events)
    else if (this.#reset) this.#goOnResetting(this.#reset, side, events)
    else if (events & EPOLL.ERR) this.#noteReset(side)
    if (this.#state === 'joined') this.#advance()
  }

  fail(err: unknown): void {
    if (this.#state === 'closed') return
    this.events.failed(err)
    this.abort()
  }

  /** Ends it with a reset of both sides: what was cut off must not look whole. */
  abort(): void {
    if (this.#state === 'closed') return
    const { calls } = this.kernel
    for (const { fd } of [this.#client, this.#backend]) if (fd >= 0) calls.resetOnClose(fd)
    this.destroy()
  }

  /** @throws Error, which is kept */
  #reach(dial: Dial): number {
    try {
      return dial()
    } catch (err) {
      this.#dialError = err as Error
      throw err
    }
  }

  #goOnResetting(reset: Reset, side: RelaySide, events: number): void {
    reset.ready(side, events)
    if (reset.isOver) this.destroy()
  }

  #dial(side: RelaySide, events: number): void {
    if (side === this.#backend) {
      const error = events & GONE ? this.#errorOf(side) : undefined
      if (error && !isReset(error)) {
        this.#dialError = error
      } else if (events & (EPOLL.OUT | GONE)) {
        this.#state = 'joined'
        // It was there, and is gone already: its last words are delivered, and the reset.
        side.isBroken = (events & GONE) !== 0
      }
    }
    if (this.#dialError) {
      this.events.dialFailed(this.#dialError)
      this.destroy()
    } else if (side === this.#client && events & GONE && this.#state === 'dialing') {
      // What it had sent before it was gone is for the backend to get, if that answers.
      if (this.#hasWords(side)) side.isBroken = true
      else this.abort()
    }
  }

  #errorOf({ fd }: RelaySide): Error | undefined {
    const error = Math.abs(this.kernel.calls.option(fd, OPTION.SO_ERROR))
    return error === 0 ? undefined : socketError(error)
  }

  #hasWords({ fd }: RelaySide): boolean {
    return this.kernel.calls.peek(fd, this.kernel.buffer.address, 1) > 0
  }

  /** Nothing but the event tells of a reset behind an end: a read goes on to answer that it has ended. */
  #noteReset(side: RelaySide): void {
    const [direction, other] =
      side === this.#client ? [this.#up, this.#backend] : [this.#down, this.#client]
    if (direction.state === 'over') this.#resetAndClose(other)
    else side.isBroken = true
  }

  #advance(): void {
    const up = this.#up
    const down = this.#down
    let more: boolean
    do {
      // Both of them, whatever the first has left.
      more = up.pump()
      more = down.pump() || more
    } while (
      this.#settle(up, this.#client, this.#backend, down) ||
      this.#settle(down, this.#backend, this.#client, up)
    )
    if (this.#state !== 'joined') return
    this.events.advanced?.(this)
    if (more && !this.#isPutOff) {
      this.#isPutOff = true
      this.kernel.poller.putOff(this.#client)
    }
  }

  /**
   * Does what follows from the end of a direction.
   * @returns whether the opposite one has got something to do by it
   */
  #settle(direction: Direction, from: RelaySide, to: RelaySide, opposite: Direction): boolean {
    if (direction.state !== 'over' || direction.isSettled || this.#state === 'closed') return false
    direction.isSettled = true
    if (from.isBroken) {
      this.#resetAndClose(to)
    } else if (to.isBroken) {
      if (opposite.state === 'over') {
        this.#resetAndClose(from)
      } else {
        // What it had sent before it broke is still in the kernel, see tcp(7); then comes the end, or the reset.
        to.readable = to.readToTheEnd = true
        return true
      }
    } else if (opposite.state === 'over' || this.isSctp) {
      // An SCTP association ends both ways, once what was sent has arrived: one that is closed does, and no event would tell of its end.
      this.destroy()
    } else {
      this.kernel.calls.shutdown(to.fd, SHUT_WR)
      to.isShut = true
    }
    return false
  }

  /** Passes a reset on: a side that was reset must not look like one that ended well. */
  #resetAndClose(side: RelaySide): void {
    this.#state = 'resetting'
    this.#reset = new Reset(this.kernel, side)
    if (this.#reset.isOver) this.destroy()
  }
}
