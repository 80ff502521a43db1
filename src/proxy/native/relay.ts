import { errnoCode, isReset } from '../../linux/errno.js'
import { EPOLL, ERRNO, MSG, OPTION, SHUT_WR } from '../../linux/ffi/constants.js'
import { requireFfi } from '../../linux/ffi/ffi.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { EventQueue } from '../../linux/sockets/event-queue.js'
import { MAX_REDIALS } from '../backend.js'
import type { Relay, RelayEvents } from '../transport.js'
import { refusedConnection } from '../listen-error.js'
import { localAddress, peerAddress } from '../../linux/sockets/endpoints.js'
import { proxyHeader, type ClientConnection, type ProxyVersion } from '../proxy-header.js'
import type { RelayLimits } from '../relay-limits.js'
import { DIAL_WAIT_MS, type WaitingDial } from '../waiting-dials.js'
import type { RelayEnding } from '../observer.js'
import { Direction } from './direction.js'
import { PendingReset } from './pending-reset.js'
import type { Reactor } from './reactor.js'
import { ALL_EVENTS, CLOSED_EVENTS, RelaySide, type RelaySideOwner } from './relay-side.js'

/** A backend connection that another relay has detached, and the bytes that it moved. */
export interface JoinedBackend {
  readonly fd: number
  /** Time from the dial until the backend accepted, milliseconds. */
  readonly dialMs: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** What the relays of a port have in common. */
export interface RelayPort {
  /** With SCTP, a read returns at most one message, and there is no half-close. */
  readonly isSctp: boolean
  readonly limits: RelayLimits
  /** The version of the header that backends get. */
  readonly sendProxy: ProxyVersion | undefined
  /** The events of the port's relays. */
  readonly queue: EventQueue
}

/** Connects to the backend. */
export interface BackendDialer {
  /** Starts a dial, and returns its socket. @throws SystemError if the dial fails at once */
  dial(): number
  /** Whether the kernel has connected a socket to itself. */
  isSelfConnected(fd: number): boolean
  /** Whether a dial has failed because no local port is free. */
  isOutOfPorts(err: unknown): boolean
  /** Has a dial tried again when a local port may be free. */
  waitForPort(dial: WaitingDial): void
}

export interface NativeRelayEvents extends Omit<
  RelayEvents<number>,
  'relayMoved' | 'dialEnded' | 'dialWaits'
> {
  /** The relay is over without `relayClosed`, and the client is no longer watched. @param err undefined if the dial was cancelled */
  dialEnded(relay: Relay, client: number, err: Error | undefined): void
  /** No local port is free for a dial, which waits. */
  dialWaits(): void
  /** Some bytes were moved. */
  progressed?(relay: Relay): void
}

/**
 * A client and a backend, joined by two directions.
 *
 *     dialing ──connected──▶ joined ──both directions over─────────────────────────▶ closed
 *        │                     └──one side is reset──▶ resetting ──earlier data sent──▲
 *        ├──the client has gone───────────────────────────────────────────────────────┘
 *        └──dial failed or cancelled──▶ the client is given back
 *
 * When a direction is over, the other side is shut down for writing. When a side is broken, the other side is reset once the data before
 * the reset is sent.
 */
export class NativeRelay implements Relay, RelaySideOwner {
  readonly #client: RelaySide
  readonly #backend: RelaySide
  readonly #up: Direction
  readonly #down: Direction
  #state: 'dialing' | 'joined' | 'resetting' | 'closed' = 'dialing'
  #isDeferred = false
  /** Until the backend has answered. */
  #dialer: BackendDialer | undefined
  /**
   * While it dials, since when, by performance.now(); then the time that it took. Whole milliseconds, because V8 keeps small integers in the
   * object itself.
   */
  #dialTime = 0
  /** For the backend, before everything else. */
  #header: Buffer | undefined
  #redials = 0
  /** No local port was free, and none is waited for after this time, by performance.now(), milliseconds. */
  #waitsUntil: number | undefined
  #reset: PendingReset | undefined
  #dialError: Error | undefined
  /** An error of this program, not of the backend. */
  #fault: unknown
  #ending: RelayEnding = 'finished'

  /**
   * @param client a connected socket; the relay owns it from now on
   * @param announced the connection that a balancer has announced
   * @param backend its dialer, or a connection that another relay has detached
   */
  constructor(
    private readonly reactor: Reactor,
    private readonly events: NativeRelayEvents,
    client: number,
    backend: BackendDialer | JoinedBackend,
    private readonly port: RelayPort,
    announced?: ClientConnection,
  ) {
    const isJoined = 'fd' in backend
    this.#client = new RelaySide(this, port.isSctp, client)
    this.#backend = new RelaySide(this, port.isSctp, isJoined ? backend.fd : -1)
    this.#up = new Direction(reactor, this.#client, this.#backend, port.limits.in)
    this.#down = new Direction(reactor, this.#backend, this.#client, port.limits.out)
    try {
      reactor.poller.watch(client, ALL_EVENTS, this.#client, port.queue)
      if (isJoined) {
        this.#dialTime = backend.dialMs
        this.#up.bytes = backend.bytesIn
        this.#down.bytes = backend.bytesOut
      } else {
        this.#dialer = backend
        this.#dialTime = Math.floor(performance.now())
        // Now, because a client that has gone has no address.
        const connection = port.sendProxy && (announced ?? connectionOf(client))
        if (port.sendProxy && connection) this.#header = proxyHeader(port.sendProxy, connection)
        if (this.#isUnknown) reactor.poller.defer(this.#client)
        else this.#dial(backend)
      }
      if (!isJoined) return
      reactor.poller.watch(backend.fd, ALL_EVENTS, this.#backend, port.queue)
      this.#state = 'joined'
    } catch (err) {
      // Reported from the event loop, like all other failures.
      this.#fault = this.#dialError ? undefined : err
      reactor.poller.defer(this.#client)
    }
  }

  get dialMs(): number | undefined {
    return this.#dialer ? undefined : this.#dialTime
  }

  get isHalfClosed(): boolean {
    return this.#up.isSettled !== this.#down.isSettled
  }

  get isThrottled(): boolean {
    return this.#up.isThrottled || this.#down.isThrottled
  }

  get bytesIn(): number {
    return this.#up.bytes
  }

  get bytesOut(): number {
    return this.#down.bytes
  }

  destroy(): void {
    this.#ending = 'stopped'
    this.#close()
  }

  cancelDial(): void {
    if (this.#state === 'dialing') this.#endDial(undefined)
  }

  /**
   * Gives both sockets away, so that another thread can relay them. The relay is over then, without a `relayClosed` event.
   * @returns undefined if data is under way, or the relay is not joined
   */
  detach(): ({ readonly client: number } & JoinedBackend) | undefined {
    const isQuiet = this.#up.isQuiet && this.#down.isQuiet && !this.#isDeferred
    if (this.#state !== 'joined' || !isQuiet) return undefined
    this.#state = 'closed'
    this.#up.abandon()
    this.#down.abandon()
    this.reactor.poller.unwatch(this.#client.fd)
    this.reactor.poller.unwatch(this.#backend.fd)
    const { dialMs = 0, bytesIn, bytesOut } = this
    return { client: this.#client.fd, fd: this.#backend.fd, dialMs, bytesIn, bytesOut }
  }

  onSideReady(side: RelaySide, events: number): void {
    if (this.#state === 'closed') return
    if (this.#fault) return this.onError(this.#fault)
    // Data without the address of its client would count as the proxy's own.
    if (this.#isUnknown) return this.abort('client-reset')
    if (events === 0) this.#isDeferred = false
    if (this.#state === 'dialing') this.#continueDial(side, events)
    else if (this.#reset) this.#continueReset(this.#reset, side, events)
    else if (events & EPOLL.ERR) this.#markReset(side)
    if (this.#state === 'joined') this.#advance()
  }

  /** Whether the backend has to be told the client's address, and the client has gone. */
  get #isUnknown(): boolean {
    return this.#dialer !== undefined && this.port.sendProxy !== undefined && !this.#header
  }

  onError(err: unknown): void {
    if (this.#state === 'closed') return
    this.events.relayFaulted(err)
    this.abort('fault')
  }

  /** Resets each side that does not have everything yet: a connection that was cut off must not look complete. */
  abort(ending: RelayEnding): void {
    if (this.#state === 'closed') return
    this.#ending = ending
    for (const { fd, isShut } of [this.#client, this.#backend]) {
      if (fd >= 0 && !isShut) this.reactor.syscalls.resetOnClose(fd)
    }
    this.#close()
  }

  #close(): void {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#up.abandon()
    this.#down.abandon()
    this.reactor.poller.close(this.#client.fd)
    this.reactor.poller.close(this.#backend.fd)
    this.events.relayClosed(this, this.#ending)
  }

  /** Dials, or waits for a local port. @throws Error; a system error is also stored in `#dialError` */
  #dial(dialer: BackendDialer): void {
    const side = this.#backend
    try {
      side.fd = dialer.dial()
      this.reactor.poller.watch(side.fd, ALL_EVENTS, side, this.port.queue)
    } catch (err) {
      if (side.fd < 0 && dialer.isOutOfPorts(err)) {
        return this.#waitForPort(dialer, err as Error)
      }
      if (errnoCode(err) !== undefined) this.#dialError = err as Error
      throw err
    }
  }

  /** @param err fails the dial if no port becomes free in time */
  #waitForPort(dialer: BackendDialer, err: Error): void {
    if (this.#waitsUntil === undefined) this.events.dialWaits()
    const until = (this.#waitsUntil ??= performance.now() + DIAL_WAIT_MS)
    dialer.waitForPort({
      until,
      dialAgain: () => {
        // The client may have gone meanwhile.
        if (this.#state !== 'dialing') return
        try {
          this.#dial(dialer)
        } catch (failure) {
          if (!this.#dialError) this.#fault = failure
          this.onSideReady(this.#client, 0)
        }
      },
      giveUp: () => {
        this.#dialError = err
        this.onSideReady(this.#client, 0)
      },
    })
  }

  #continueReset(reset: PendingReset, side: RelaySide, events: number): void {
    reset.handle(side, events)
    if (reset.isDone) this.#close()
  }

  #continueDial(side: RelaySide, events: number): void {
    if (side === this.#backend) {
      const error = events & CLOSED_EVENTS ? this.#errorOf(side) : undefined
      if (error && !isReset(error)) {
        this.#dialError = error
      } else if (events & EPOLL.OUT && this.#dialer?.isSelfConnected(side.fd)) {
        this.#redial(this.#dialer)
      } else if (events & (EPOLL.OUT | CLOSED_EVENTS)) {
        this.#state = 'joined'
        this.#dialer = undefined
        this.#dialTime = Math.floor(performance.now()) - this.#dialTime
        const isThere = !this.#header || this.#sendHeader(side, this.#header)
        // If the backend has already gone, its data is delivered, and then the reset.
        side.isBroken = !isThere || (events & CLOSED_EVENTS) !== 0
      }
    }
    if (this.#dialError) {
      this.#endDial(this.#dialError)
    } else if (side === this.#client && events & CLOSED_EVENTS && this.#state === 'dialing') {
      // The backend receives what the client sent before it went, if the backend answers.
      if (this.#hasUnreadData(side)) side.isBroken = true
      else this.abort('client-reset')
    }
  }

  /**
   * A socket that has just connected has room for the few bytes.
   * @returns false if the backend has gone
   * @throws SystemError; without the header, no data may follow
   */
  #sendHeader({ fd }: RelaySide, header: Buffer): boolean {
    this.#header = undefined
    const sent = this.reactor.syscalls.send(
      ...([fd, requireFfi().addressOf(header), header.length, MSG.NOSIGNAL] as const),
    )
    if (sent === header.length) return true
    if (sent === -ERRNO.EPIPE || sent === -ERRNO.ECONNRESET) return false
    throw sent < 0 ? socketError(-sent) : new Error('a PROXY header was cut off')
  }

  #endDial(err: Error | undefined): void {
    this.#state = 'closed'
    this.reactor.poller.unwatch(this.#client.fd)
    this.reactor.poller.close(this.#backend.fd)
    this.events.dialEnded(this, this.#client.fd, err)
  }

  /** Nobody listens at the backend, and the kernel has connected the socket to itself. */
  #redial(dialer: BackendDialer): void {
    const { syscalls, poller } = this.reactor
    const side = this.#backend
    syscalls.resetOnClose(side.fd)
    poller.close(side.fd)
    side.fd = -1
    side.readable = side.writable = false
    try {
      if (this.#redials++ === MAX_REDIALS) throw refusedConnection()
      this.#dial(dialer)
    } catch (err) {
      this.#dialError = err as Error
    }
  }

  #errorOf({ fd }: RelaySide): Error | undefined {
    const errno = Math.abs(this.reactor.syscalls.getOption(fd, OPTION.SO_ERROR))
    return errno === 0 ? undefined : socketError(errno)
  }

  #hasUnreadData({ fd }: RelaySide): boolean {
    return this.reactor.syscalls.peek(fd, this.reactor.buffer.address, 1) > 0
  }

  /** Only the event reports a reset behind an end: reads continue to report the end. */
  #markReset(side: RelaySide): void {
    const [direction, other] =
      side === this.#client ? [this.#up, this.#backend] : [this.#down, this.#client]
    if (direction.state === 'over') this.#resetAndClose(other)
    else side.isBroken = true
  }

  #advance(): void {
    const up = this.#up
    const down = this.#down
    let hasMore: boolean
    do {
      // Both directions run, whatever the first one returns.
      hasMore = up.pump()
      hasMore = down.pump() || hasMore
    } while (
      this.#settle(up, this.#client, this.#backend, down) ||
      this.#settle(down, this.#backend, this.#client, up)
    )
    if (this.#state !== 'joined') return
    this.events.progressed?.(this)
    if (hasMore && !this.#isDeferred) {
      this.#isDeferred = true
      this.reactor.poller.defer(this.#client)
    }
  }

  /**
   * Acts on the end of a direction.
   * @returns whether the opposite direction has work to do because of it
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
        // The kernel still has the data that the side sent before it broke, see tcp(7). The end or the reset follows.
        to.readable = to.readUntilEmpty = true
        return true
      }
    } else if (opposite.state === 'over' || this.port.isSctp) {
      // An SCTP association ends in both directions, after sent data has arrived. No event would report its end.
      this.#close()
    } else {
      this.reactor.syscalls.shutdown(to.fd, SHUT_WR)
      to.isShut = true
    }
    return false
  }

  /** Resets a side because the other one is broken: it must not look like a good end. */
  #resetAndClose(side: RelaySide): void {
    this.#ending = side === this.#client ? 'backend-reset' : 'client-reset'
    this.#state = 'resetting'
    this.#reset = new PendingReset(this.reactor, side)
    if (this.#reset.isDone) this.#close()
  }
}

/** @returns undefined if the client has gone */
function connectionOf(fd: number): ClientConnection | undefined {
  try {
    const [client, server] = [peerAddress(fd), localAddress(fd)]
    return client && server && { client, server }
  } catch {
    return undefined
  }
}
