/** No line is shown before this time, milliseconds. */
const DELAY_MS = 500

/** A line on a terminal that counts finished items: `12 of 340 upgraded`. */
export class Progress {
  readonly #startedAt = performance.now()
  #isShown = false

  /** @param what was done with each item */
  constructor(
    private readonly what: string,
    private readonly stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
  ) {}

  /** @param done how many of all items are done */
  show(done: number, all: number): void {
    const isLong = performance.now() - this.#startedAt > DELAY_MS
    if (!this.stream.isTTY || !isLong || done === all) return
    this.stream.write(`\r\x1b[K${done} of ${all} ${this.what}`)
    this.#isShown = true
  }

  /** Removes the line, before others are written. */
  clear(): void {
    if (this.#isShown) this.stream.write('\r\x1b[K')
    this.#isShown = false
  }
}
