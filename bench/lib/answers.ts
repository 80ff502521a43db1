/** Of so many requests one may fail: loads count what they break off themselves at the end. */
const MAX_FAILED = 1 / 1_000

/** @throws Error when what was measured is not a proxy that works */
export function expectAnswers(connections: number, answered: number, failed: number): void {
  if (answered > 0 && failed <= Math.max(connections, answered * MAX_FAILED)) return
  throw new Error(`${answered} requests were answered, and ${failed} failed`)
}
