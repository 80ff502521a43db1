import { Poller } from './poller.js'

/** epoll_wait(2) waits without a limit. */
const FOREVER = -1

/** A function that is called later. */
interface Delayed {
  /** By performance.now(), milliseconds. */
  readonly due: number
  readonly callback: () => void
}

/** An epoll set for a thread that only waits for it: neither Node's timers nor promises run in that thread. */
export class BlockingPoller extends Poller {
  #isStopped = false
  #delayed: Delayed[] = []

  /** Handles events until one of them calls `stop`. */
  run(): void {
    while (!this.#isStopped) {
      this.poll(this.hasWork ? 0 : this.#untilDue())
      if (this.#delayed.length > 0) this.#callDue()
    }
  }

  override delay(milliseconds: number, callback: () => void): void {
    this.#delayed.push({ due: performance.now() + milliseconds, callback })
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Time until the next function is due, milliseconds. */
  #untilDue(): number {
    if (this.#delayed.length === 0) return FOREVER
    const next = Math.min(...this.#delayed.map(({ due }) => due))
    return Math.max(0, Math.ceil(next - performance.now()))
  }

  #callDue(): void {
    const now = performance.now()
    const due = this.#delayed.filter((each) => each.due <= now)
    this.#delayed = this.#delayed.filter((each) => each.due > now)
    // After a long stall, several are due.
    for (const { callback } of due.sort((a, b) => a.due - b.due)) callback()
  }

  protected override onWatchedChange(): void {
    // The thread waits until it is stopped, even if nothing is watched.
  }

  protected override onDeferred(): void {
    // `run` checks for work before each wait.
  }
}
