import { EPOLL } from '../../linux/ffi/constants.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import type { Side } from './direction.js'

/** All events of a socket, edge-triggered: set once, and never changed while data flows. */
export const ALL_EVENTS = EPOLL.IN | EPOLL.OUT | EPOLL.PRI | EPOLL.RDHUP | EPOLL.ET
/** The connection is closed in both directions: both sides have ended it, or it was reset. */
export const CLOSED_EVENTS = EPOLL.HUP | EPOLL.ERR
const READABLE_EVENTS = EPOLL.IN | EPOLL.PRI | EPOLL.RDHUP | CLOSED_EVENTS
const WRITABLE_EVENTS = EPOLL.OUT | CLOSED_EVENTS
/** The end of stream is near, or there is urgent data, before which recv(2) returns early. */
const READ_TO_END_EVENTS = EPOLL.PRI | EPOLL.RDHUP | CLOSED_EVENTS

export interface RelaySideOwner {
  /** An event of the socket; `side` is already updated. */
  onSideReady(side: RelaySide, events: number): void
  onError(err: unknown): void
}

/** One of the two sockets of a relay. */
export class RelaySide implements Side, Pollable {
  readable = false
  writable = false
  isBroken = false
  /** Whether the socket was shut down for writing. */
  isShut = false
  endIsQueued = false
  readUntilEmpty: boolean

  /** @param hasMessages with SCTP, a read returns at most one message even if more are queued */
  constructor(
    private readonly relay: RelaySideOwner,
    readonly hasMessages: boolean,
    public fd = -1,
  ) {
    this.readUntilEmpty = hasMessages
  }

  onReady(events: number): void {
    if (events & READABLE_EVENTS) this.readable = true
    if (events & WRITABLE_EVENTS) this.writable = true
    if (events & READ_TO_END_EVENTS) this.readUntilEmpty = true
    const isEnd = (events & (EPOLL.RDHUP | CLOSED_EVENTS)) === EPOLL.RDHUP
    if (isEnd && !this.hasMessages) this.endIsQueued = true
    this.relay.onSideReady(this, events)
  }

  onError(err: unknown): void {
    this.relay.onError(err)
  }
}
