/**
 * Does the same to each item, to so many at once. When one fails no further one is begun, those under way are
 * waited for, and the first error is thrown.
 */
export async function inParallel<T, R>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  const results: R[] = []
  const entries = items.entries()
  let failed = false
  const worker = async (): Promise<void> => {
    for (const [i, item] of entries) {
      if (failed) return
      try {
        results[i] = await work(item)
      } catch (err) {
        failed = true
        throw err
      }
    }
  }
  const settled = await Promise.allSettled(Array.from({ length: limit }, worker))
  for (const each of settled) if (each.status === 'rejected') throw each.reason
  return results
}
