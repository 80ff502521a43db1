/** No line is shown before this time, milliseconds. */
const DELAY_MS = 500

/** A line on a terminal that counts finished items: `12 of 340 upgraded`. */
export class Progress {
  readonly #startedAt = performance.now()
  #done = 0
  #isShown = false

  /** @param what was done with each of `total` items */
  constructor(
    private readonly what: string,
    private readonly total: number,
    private readonly stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
  ) {}

  /** One more item is done. */
  advance(): void {
    this.#done++
    const isLong = performance.now() - this.#startedAt > DELAY_MS
    if (!this.stream.isTTY || !isLong || this.#done === this.total) return
    this.stream.write(`\r\x1b[K${this.#done} of ${this.total} ${this.what}`)
    this.#isShown = true
  }

  /** Removes the line, before others are written. */
  clear(): void {
    if (this.#isShown) this.stream.write('\r\x1b[K')
    this.#isShown = false
  }
}
