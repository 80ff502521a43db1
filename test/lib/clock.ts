export const HOUR_MS = 3_600_000

/** A wall clock that somebody sets back by an hour each time it is read. Stands for `Date.now`. */
export function backwards(): () => number {
  let now = Date.now()
  return () => (now -= HOUR_MS)
}
