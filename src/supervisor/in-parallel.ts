import pLimit from 'p-limit'

/**
 * Runs `work` for each item, for at most `limit` items at a time. After a failure no further item is started. The items under way are
 * awaited, and then the first error is thrown.
 */
export async function inParallel<T, R>(
  limit: number,
  items: readonly T[],
  work: (item: T) => Promise<R>,
): Promise<R[]> {
  let failure: { readonly reason: unknown } | undefined
  const run = pLimit(limit)
  const results = await Promise.all(
    items.map((item) =>
      run(async () => {
        if (failure) return undefined
        try {
          return await work(item)
        } catch (reason) {
          failure ??= { reason }
          return undefined
        }
      }),
    ),
  )
  if (failure) throw failure.reason
  return results as R[]
}
