/** The middle one; the mean of the two middle ones of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? NaN
  return Number.isInteger(middle) ? ((sorted[middle - 1] ?? NaN) + upper) / 2 : upper
}

/** The value that a share of all do not exceed, by the nearest rank; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.ceil((percent / 100) * sorted.length)
  return sorted[Math.max(rank, 1) - 1] ?? NaN
}

/** Rounds whose farthest are this far apart, as a share of the median, say little. */
const NOISY = 0.25

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
  /** Whether the rounds differ too much for the median to be relied on. */
  readonly noisy: boolean
}

/** What rounds come to. */
export function summarize(rounds: readonly number[]): Summary {
  const middle = median(rounds)
  const low = Math.min(...rounds)
  const high = Math.max(...rounds)
  return { median: middle, low, high, noisy: high - low > NOISY * Math.abs(middle) }
}
