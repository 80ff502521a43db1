/** Time after which repetitions are reported, milliseconds. */
const INTERVAL_MS = 60_000

/** Joins lines that repeat: a line is written at once, and its repetitions as one line with their number. */
export class RepeatedLines {
  /** Repetitions of each line since it was written. */
  readonly #counts = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly write: (line: string, fields?: { readonly repeated: number }) => void,
    private readonly intervalMs = INTERVAL_MS,
  ) {}

  add(line: string): void {
    const count = this.#counts.get(line)
    this.#counts.set(line, (count ?? -1) + 1)
    if (count !== undefined) return
    this.write(line)
    this.#timer ??= setInterval(() => this.#report(), this.intervalMs).unref()
  }

  /** Writes what is still counted, and forgets all lines. */
  flush(): void {
    for (const [line, repeated] of this.#counts) if (repeated > 0) this.write(line, { repeated })
    this.#counts.clear()
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** A line that repeats stays known, so that it is written once in each interval. */
  #report(): void {
    for (const [line, repeated] of this.#counts) {
      if (repeated === 0) {
        this.#counts.delete(line)
        continue
      }
      this.#counts.set(line, 0)
      this.write(line, { repeated })
    }
    if (this.#counts.size === 0) this.flush()
  }
}
