import { EPOLL, OPTION } from '../../linux/ffi/constants.js'
import type { Reactor } from './reactor.js'
import { CLOSED_EVENTS, type RelaySide } from './relay-side.js'

/** A reset of one side that waits until all earlier data is sent: a reset discards what the kernel has not sent yet. */
export class PendingReset {
  #isDone: boolean

  constructor(
    private readonly reactor: Reactor,
    private readonly side: RelaySide,
  ) {
    const { syscalls, poller } = reactor
    const { fd } = side
    // Setting the option again sends data that was held back for the expected end, see tcp(7).
    syscalls.setOption(fd, OPTION.TCP_NODELAY, 1)
    this.#isDone = this.#resetOnceSent()
    if (this.#isDone) return
    // With this low-water mark, EPOLLOUT reports that all data is sent.
    syscalls.setOption(fd, OPTION.TCP_NOTSENT_LOWAT, 1)
    poller.modify(fd, EPOLL.OUT | EPOLL.ET)
  }

  /** Whether the sockets can be closed: closing sends the reset. */
  get isDone(): boolean {
    return this.#isDone
  }

  /** An event of one of the relay's sockets. */
  handle(side: RelaySide, events: number): void {
    if (side !== this.side) return // The other side has nothing more to report.
    this.#isDone = (events & CLOSED_EVENTS) !== 0 || this.#resetOnceSent()
  }

  #resetOnceSent(): boolean {
    const { syscalls } = this.reactor
    const { fd, isShut } = this.side
    const isSent = syscalls.unsentBytes(fd) <= 0
    if (isSent) syscalls.resetOnClose(fd)
    // After a shutdown no event reports that all is sent. But then the data is complete, and the kernel continues to send it.
    return isSent || isShut
  }
}
