/** The longest turn, milliseconds: what else this process serves waits for so long. */
const TURN_MS = 5

/** Divides long work into turns of the event loop, so that everything else is served meanwhile. */
export class Turns {
  #startedAt = performance.now()

  /** Whether the turn is over: then `next` has to be awaited. Checked apart, because an await costs more than most of the work. */
  get isOver(): boolean {
    return performance.now() - this.#startedAt > TURN_MS
  }

  /** Resolves in the next turn. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve))
    this.#startedAt = performance.now()
  }
}
