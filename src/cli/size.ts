const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const
const STEP = 1000
const DIGITS = 3

/** Formats a number of bytes as docker does: `1.23kB`, `45.6MB`. */
export function formatSize(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= STEP && unit < UNITS.length - 1) {
    value /= STEP
    unit++
  }
  // Bytes have no decimals.
  const text = unit === 0 ? String(value) : String(Number(value.toPrecision(DIGITS)))
  return `${text}${UNITS[unit] ?? ''}`
}
