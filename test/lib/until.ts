import { setTimeout as delay } from 'node:timers/promises'

const LOOK_MS = 5
/** Far longer than a busy machine takes, and shorter than the timeout of a test file, after which no teardown runs. */
const LIMIT_MS = 180_000

/** Waits for something without an event. Rejects if it does not come. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  const end = performance.now() + LIMIT_MS
  const waited = new Error(`this has not come true in ${LIMIT_MS / 1000} s: ${isSo.toString()}`)
  while (!(await isSo())) {
    if (performance.now() > end) throw waited
    await delay(LOOK_MS)
  }
}
