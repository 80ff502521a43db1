/** Upper bounds of the classes of durations, milliseconds. One more class has the longer durations. */
export const DURATION_BOUNDS_MS = [10, 100, 1_000, 10_000, 60_000, 600_000, 3_600_000, 36_000_000]

/** A proxy's report of the durations of its closed connections. */
export interface DurationReport {
  /** Left out before the first connection ends. */
  readonly durations?: {
    /** Connections of each class, by DURATION_BOUNDS_MS. */
    readonly counts: readonly number[]
    /** Sum of all durations, milliseconds. */
    readonly sumMs: number
  }
}

/** Counts closed connections of a port by duration. */
export class Durations {
  /** Made for the first one, because many ports have none. */
  #counts: number[] | undefined
  #sumMs = 0

  note(ms: number): void {
    const counts = (this.#counts ??= new Array<number>(DURATION_BOUNDS_MS.length + 1).fill(0))
    let place = 0
    while (ms > (DURATION_BOUNDS_MS[place] ?? Infinity)) place++
    counts[place] = (counts[place] ?? 0) + 1
    this.#sumMs += ms
  }

  report(): DurationReport {
    return this.#counts ? { durations: { counts: [...this.#counts], sumMs: this.#sumMs } } : {}
  }
}
