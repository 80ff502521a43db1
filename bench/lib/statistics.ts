/** The median: of an even number of values the mean of the two middle ones; NaN for no values. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** A quantile, interpolated linearly; NaN for no values. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = share * (sorted.length - 1)
  const [below = NaN, above = below] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return below + (above - below) * (place % 1)
}

/** The median and the quartiles. */
export function middleHalf(values: readonly number[]): {
  low: number
  median: number
  high: number
} {
  return { low: quantile(values, 0.25), median: median(values), high: quantile(values, 0.75) }
}

/** A percentile by the nearest rank; NaN for no values. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.ceil((percent / 100) * sorted.length)
  return sorted[Math.max(rank, 1) - 1] ?? NaN
}

/** A distance of the quartiles, relative to the median, from which on the rounds say little. */
const NOISY = 0.125

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
  /** Whether the rounds differ too much for a reliable median. One outlier does not count. */
  readonly noisy: boolean
}

/** Summarises rounds. */
export function summarize(rounds: readonly number[]): Summary {
  const { low, median: middle, high } = middleHalf(rounds)
  return {
    median: middle,
    low: Math.min(...rounds),
    high: Math.max(...rounds),
    noisy: high - low > NOISY * Math.abs(middle),
  }
}
