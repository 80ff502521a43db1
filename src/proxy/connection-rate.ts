/** Milliseconds of a second. */
const MS_PER_S = 1_000

/** Limits the new connections per second. As many as belong to one second may come at once. */
export class ConnectionRate {
  /** Connections that may come at once. */
  readonly #most: number
  #free: number
  #countedAt: number

  /**
   * @param perSecond connections
   * @param now a monotonic clock, milliseconds
   */
  constructor(
    private readonly perSecond: number,
    private readonly now = (): number => performance.now(),
  ) {
    this.#free = this.#most = Math.max(1, perSecond)
    this.#countedAt = now()
  }

  /** Counts a connection that was accepted. */
  count(): void {
    this.#free = this.#available() - 1
  }

  /** Time until the next connection is allowed, milliseconds; 0 for now. */
  get waitMs(): number {
    const missing = 1 - this.#available()
    return missing <= 0 ? 0 : (missing * MS_PER_S) / this.perSecond
  }

  #available(): number {
    const now = this.now()
    const earned = ((now - this.#countedAt) * this.perSecond) / MS_PER_S
    this.#countedAt = now
    return (this.#free = Math.min(this.#most, this.#free + earned))
  }
}
