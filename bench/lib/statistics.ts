/** The middle one; the mean of the two middle ones of an even number; NaN of none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The value at a share of the way from the lowest to the highest, between two where it falls between them; NaN of none. */
function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const place = share * (sorted.length - 1)
  const [below = NaN, above = below] = [sorted[Math.floor(place)], sorted[Math.ceil(place)]]
  return below + (above - below) * (place % 1)
}

/** The median, and between what the middle half of all lies. */
export function middleHalf(values: readonly number[]): {
  low: number
  median: number
  high: number
} {
  return { low: quantile(values, 0.25), median: median(values), high: quantile(values, 0.75) }
}

/** The value that a share of all do not exceed, by the nearest rank; NaN of none. */
export function percentile(values: readonly number[], percent: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  const rank = Math.ceil((percent / 100) * sorted.length)
  return sorted[Math.max(rank, 1) - 1] ?? NaN
}

/** Where the middle half of the rounds lies so far apart, as a share of the median, they say little. */
const NOISY = 0.125

export interface Summary {
  readonly median: number
  readonly low: number
  readonly high: number
  /** Whether the rounds differ too much for the median to be relied on; one that is off by itself does no harm. */
  readonly noisy: boolean
}

/** What rounds come to. */
export function summarize(rounds: readonly number[]): Summary {
  const { low, median: middle, high } = middleHalf(rounds)
  return {
    median: middle,
    low: Math.min(...rounds),
    high: Math.max(...rounds),
    noisy: high - low > NOISY * Math.abs(middle),
  }
}
