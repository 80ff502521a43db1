import type { Libc } from '../../linux/libc.js'

/** How often to look, milliseconds. */
const INTERVAL_MS = 5_000
/** From this part of its time on, a process that finds no rest is worth a closer look. */
const BUSY = 0.5

/**
 * Finds out when a listening socket has stopped listening, as after a shutdown(2) by whoever shares it.
 *
 * libuv (uv__server_io) swallows all errors of accept(2) and is woken again at once, so the process
 * spins and nobody is told. A process that is busy without accepting anybody looks at its socket.
 *
 * @param descriptor the listening socket, undefined while nothing accepts from it
 * @param accepted connections so far
 * @param broken called once
 * @returns stops the watch
 */
export function watchListener(
  loadLibc: () => Libc | undefined,
  descriptor: () => number | undefined,
  accepted: () => number,
  broken: () => void,
): () => void {
  let before = { accepted: accepted(), loop: performance.eventLoopUtilization() }
  const timer = setInterval(() => {
    const now = { accepted: accepted(), loop: performance.eventLoopUtilization() }
    // The loop's own time, not the processor's: of that a spinning process may get any share.
    const { utilization } = performance.eventLoopUtilization(now.loop, before.loop)
    const suspicious = utilization > BUSY && now.accepted === before.accepted
    before = now
    const fd = descriptor()
    if (!suspicious || fd === undefined || loadLibc()?.isListening(fd) !== false) return
    clearInterval(timer)
    broken()
  }, INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}
