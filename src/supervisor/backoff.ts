/** The shortest wait after a failure, milliseconds. */
export const FIRST_DELAY_MS = 100
/** The longest wait, milliseconds. */
export const LAST_DELAY_MS = 10_000
/** A process that has lived longer is restarted at once, milliseconds. */
export const STABLE_MS = 10_000

/** The wait before a process is restarted: none the first time, then twice as long each time. */
export class Backoff {
  #delayMs = 0

  /** The wait before the next start, milliseconds. */
  next(): number {
    const delayMs = this.#delayMs
    this.#delayMs = Math.min(Math.max(delayMs * 2, FIRST_DELAY_MS), LAST_DELAY_MS)
    return delayMs
  }

  /** Notes that a process has ended. @param lifeMs how long it lived, milliseconds */
  ended(lifeMs: number): void {
    if (lifeMs > STABLE_MS) this.#delayMs = 0
  }
}
