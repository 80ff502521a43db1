import { EPOLL, OPTION } from '../../linux/constants.js'
import type { Kernel } from './kernel.js'
import { GONE, type RelaySide } from './relay-side.js'

/**
 * The reset of a side, which waits until the side has been sent what came before: a reset discards what the kernel has not
 * sent yet.
 */
export class Reset {
  #isOver: boolean

  constructor(
    private readonly kernel: Kernel,
    private readonly side: RelaySide,
  ) {
    const { calls, poller } = kernel
    const { fd } = side
    // What is held back for the end that was to follow goes out when the option is set anew, see tcp(7).
    calls.setOption(fd, OPTION.TCP_NODELAY, 1)
    this.#isOver = this.#resetOnceSent()
    if (this.#isOver) return
    // It can be written to again when all is sent: so it is reported.
    calls.setOption(fd, OPTION.TCP_NOTSENT_LOWAT, 1)
    poller.change(fd, EPOLL.OUT | EPOLL.ET)
  }

  /** Whether the sockets can be closed, which does the rest. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** Something has happened to one of the sockets. */
  ready(side: RelaySide, events: number): void {
    if (side !== this.side) return // The other one has nothing more to tell.
    this.#isOver = (events & GONE) !== 0 || this.#resetOnceSent()
  }

  #resetOnceSent(): boolean {
    const { calls } = this.kernel
    const { fd, isShut } = this.side
    const isSent = calls.unsent(fd) <= 0
    if (isSent) calls.resetOnClose(fd)
    // After the end nothing tells when all is sent; but then it is whole, and the kernel goes on with it.
    return isSent || isShut
  }
}
