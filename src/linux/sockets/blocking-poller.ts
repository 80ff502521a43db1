import { Poller } from './poller.js'

/** epoll_wait(2) waits without a limit. */
const FOREVER = -1

/** An epoll set for a thread that only waits for it: neither Node's timers nor promises run in that thread. */
export class BlockingPoller extends Poller {
  #isStopped = false

  /** Handles events until one of them calls `stop`. */
  run(): void {
    while (!this.#isStopped) this.poll(this.hasDeferred ? 0 : FOREVER)
  }

  stop(): void {
    this.#isStopped = true
  }

  protected override onWatchedChange(): void {
    // The thread waits until it is stopped, even if nothing is watched.
  }

  protected override onDeferred(): void {
    // `run` checks for deferred work before each wait.
  }
}
