import { setTimeout as delay } from 'node:timers/promises'

const LOOK_MS = 5

/** Waits for something without an event. The timeout of the test file ends it. */
export async function until(isSo: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await isSo())) await delay(LOOK_MS)
}
