/** What happens again and again and is worth a line only now and then. */
export class Seldom {
  #last = -Infinity

  /** @param interval milliseconds */
  constructor(private readonly interval: number) {}

  /** Whether it is to be told; it counts as told then. */
  isDue(): boolean {
    const now = performance.now()
    if (now - this.#last < this.interval) return false
    this.#last = now
    return true
  }
}
