import { deferred } from '../deferred.js'
import type { StopOptions } from '../proxy/engine.js'
import { orderDrain } from '../status/proxy-orders.js'
import { isAlive, type ProcessIdentity } from '../linux/proc/process-identity.js'

/** How long a process has to end after SIGTERM, milliseconds. */
const STOP_TIMEOUT_MS = 5_000
/** Interval between checks of a process that is not our child, milliseconds. */
const WATCH_MS = 500
/** Interval while the process is about to end, milliseconds. */
const WATCH_CLOSELY_MS = 5

/**
 * Ends a process: with SIGTERM, or if its connections may end by themselves, by an order on its status socket. Ends it with SIGKILL if it
 * does not end in time.
 * @param exited resolves when the process has ended
 * @param statusSocket a proxy without one is ended at once
 */
export async function stopProcess(
  proxy: ProcessIdentity,
  exited: Promise<unknown>,
  statusSocket: string,
  { drainMs = 0 }: StopOptions = {},
): Promise<void> {
  if (drainMs === 0) signal(proxy, 'SIGTERM')
  else await orderDrain(statusSocket, drainMs).catch(() => signal(proxy, 'SIGTERM'))
  const timer = setTimeout(() => signal(proxy, 'SIGKILL'), drainMs + STOP_TIMEOUT_MS)
  await exited
  clearTimeout(timer)
}

function signal(proxy: ProcessIdentity, name: NodeJS.Signals): void {
  if (!isAlive(proxy)) return
  try {
    process.kill(proxy.pid, name)
  } catch {
    // It has ended between the check and the signal.
  }
}

/** Ends a process with SIGKILL, and waits for its end. */
export async function killProcess(proxy: ProcessIdentity): Promise<void> {
  signal(proxy, 'SIGKILL')
  const { ended, lookClosely } = watchEnd(proxy)
  lookClosely()
  await ended
}

/** Waits for the end of a process that is not our child. Nothing reports it, so this looks from time to time. */
export function watchEnd(identity: ProcessIdentity): {
  ended: Promise<void>
  lookClosely: () => void
} {
  const { promise: ended, resolve } = deferred()
  const look = (): void => {
    if (isAlive(identity)) return
    clearInterval(timer)
    resolve()
  }
  let timer = setInterval(look, WATCH_MS)
  return {
    ended,
    lookClosely() {
      clearInterval(timer)
      timer = setInterval(look, WATCH_CLOSELY_MS)
    },
  }
}
