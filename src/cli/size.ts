const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const
const STEP = 1000
const DIGITS = 3

/** A number of bytes as docker writes it: `1.23kB`, `45.6MB`. */
export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= STEP && unit < UNITS.length - 1) {
    value /= STEP
    unit++
  }
  // Whole bytes need no digits behind the point.
  const text = unit === 0 ? String(value) : String(Number(value.toPrecision(DIGITS)))
  return `${text}${UNITS[unit] ?? ''}`
}
