/** The longest turn, milliseconds: what else this process serves waits for so long. */
const TURN_MS = 2

/** Resolves when the turns that were requested so far have begun. */
let queue: Promise<void> = Promise.resolve()

/**
 * Divides long work into turns of the event loop, so that everything else is served meanwhile. Of all work in the process, only one piece
 * has a turn at a time.
 */
export class Turns {
  #startedAt = performance.now()

  /** Whether the turn is over: then `next` has to be awaited. Checked apart, because an await costs more than most of the work. */
  get isOver(): boolean {
    return performance.now() - this.#startedAt > TURN_MS
  }

  /** Resolves in the next turn that is free. */
  async next(): Promise<void> {
    queue = queue.then(() => new Promise((resolve) => setImmediate(resolve)))
    await queue
    this.#startedAt = performance.now()
  }
}
