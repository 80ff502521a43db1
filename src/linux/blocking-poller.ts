import { Poller } from './epoll.js'

const FOREVER = -1

/** An epoll set that a thread of its own waits for, and does nothing else: no timer of Node's runs there, and no promise. */
export class BlockingPoller extends Poller {
  #isStopped = false

  /** Handles events until `stop` is called by one of them. */
  run(): void {
    while (!this.#isStopped) this.look(this.isWorkPutOff ? 0 : FOREVER)
  }

  stop(): void {
    this.#isStopped = true
  }

  protected override hasSome(): void {
    // It waits until it is stopped, for nothing if need be.
  }

  protected override hasWork(): void {
    // It is looked for before each wait.
  }
}
