/** Limits how often something is reported. */
export class Throttle {
  #lastMs = -Infinity

  /** @param intervalMs time between two reports at least, milliseconds */
  constructor(private readonly intervalMs: number) {}

  /** Whether to report now. If so, the interval starts again. */
  allows(): boolean {
    const now = performance.now()
    if (now - this.#lastMs < this.intervalMs) return false
    this.#lastMs = now
    return true
  }
}
