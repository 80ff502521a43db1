/** Of so many requests one may fail. */
const MAX_FAILED = 1 / 1_000
/** Loads count what they break off themselves at the end: of each connection the request, and perhaps the next one's. */
const BROKEN_OFF = 2

/** @throws Error when what was measured is not a proxy that works */
export function expectAnswers(connections: number, answered: number, failed: number): void {
  if (answered > 0 && failed <= Math.max(BROKEN_OFF * connections, answered * MAX_FAILED)) return
  throw new Error(`${answered} requests were answered, and ${failed} failed`)
}
