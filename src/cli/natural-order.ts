/**
 * Compares texts as `docker port` orders its lines: runs of digits as numbers, all else by character. `8/tcp` comes before `10/tcp`.
 * Source: sortorder.NaturalLess of fvbommel.com/sortorder.
 */
export function compareNaturally(a: string, b: string): number {
  const [left, right] = [chunks(a), chunks(b)]
  for (const [i, chunk] of left.entries()) {
    const other = right[i]
    if (other === undefined) return 1
    const isNumber = isDigits(chunk) && isDigits(other)
    const difference = isNumber
      ? Number(chunk) - Number(other)
      : chunk < other
        ? -1
        : Number(chunk > other)
    if (difference !== 0) return difference
  }
  return left.length - right.length
}

function chunks(text: string): string[] {
  return text.match(/\d+|\D/g) ?? []
}

function isDigits(text: string): boolean {
  return /^\d/.test(text)
}
