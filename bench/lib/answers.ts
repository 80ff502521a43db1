/** One request in this many may fail. */
const MAX_FAILED = 1 / 1_000
/** Load generators count what they abort at the end as failed: one request of each connection, and perhaps the next. */
const BROKEN_OFF = 2

/** @throws Error if too many requests failed: the proxy does not work */
export function expectAnswers(connections: number, answered: number, failed: number): void {
  if (answered > 0 && failed <= Math.max(BROKEN_OFF * connections, answered * MAX_FAILED)) return
  throw new Error(`${answered} requests were answered, and ${failed} failed`)
}
