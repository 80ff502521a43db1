import { EPOLL } from '../../linux/constants.js'
import type { Pollable } from '../../linux/epoll.js'
import type { Side } from './direction.js'

/** Edges of all that can happen to a socket: asked for once, and never changed while data flows. */
export const EVERYTHING = EPOLL.IN | EPOLL.OUT | EPOLL.PRI | EPOLL.RDHUP | EPOLL.ET
/** The connection is over both ways: both have ended it, or it was reset. */
export const GONE = EPOLL.HUP | EPOLL.ERR
const READABLE = EPOLL.IN | EPOLL.PRI | EPOLL.RDHUP | GONE
const WRITABLE = EPOLL.OUT | GONE
/** The end is near, or urgent data before which recv(2) stops short. */
const READ_TO_THE_END = EPOLL.PRI | EPOLL.RDHUP | GONE

export interface RelaySideOwner {
  /** Something has happened to the socket, which is noted in `side` already. */
  ready(side: RelaySide, events: number): void
  fail(err: unknown): void
}

/** One of the two sockets of a relay. */
export class RelaySide implements Side, Pollable {
  readable = false
  writable = false
  isBroken = false
  /** Whether it has been shut down for writing. */
  isShut = false
  endFollows = false
  readToTheEnd: boolean

  /** @param isSctp whether a read brings no more than one message, whatever else is there */
  constructor(
    private readonly relay: RelaySideOwner,
    private readonly isSctp: boolean,
    public fd = -1,
  ) {
    this.readToTheEnd = isSctp
  }

  ready(events: number): void {
    if (events & READABLE) this.readable = true
    if (events & WRITABLE) this.writable = true
    if (events & READ_TO_THE_END) this.readToTheEnd = true
    const isEnd = (events & (EPOLL.RDHUP | GONE)) === EPOLL.RDHUP
    if (isEnd && !this.isSctp) this.endFollows = true
    this.relay.ready(this, events)
  }

  fail(err: unknown): void {
    this.relay.fail(err)
  }
}
