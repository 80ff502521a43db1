/** Counts that grow, and the time at which they were read. */
interface Sample {
  /** By performance.now(), milliseconds. */
  readonly time: number
  readonly counts: ReadonlyMap<string, readonly number[]>
}

const MS_PER_S = 1_000

/** Makes rates of counts that are read again and again. */
export class Rates {
  #last: Sample | undefined

  /**
   * @param counts the counts of each item, by its name
   * @returns the growth of each count per second since the last call; undefined for an item that is new, and at the first call. A count that
   *   has begun again at 0 counts from there.
   */
  next(
    counts: ReadonlyMap<string, readonly number[]>,
    time = performance.now(),
  ): (item: string) => readonly number[] | undefined {
    const last = this.#last
    this.#last = { time, counts }
    return (item) => {
      const [before, now] = [last?.counts.get(item), counts.get(item)]
      if (!last || !before || !now) return undefined
      const seconds = (time - last.time) / MS_PER_S
      return now.map((count, i) => {
        const earlier = before[i] ?? 0
        return (count < earlier ? count : count - earlier) / seconds
      })
    }
  }
}
