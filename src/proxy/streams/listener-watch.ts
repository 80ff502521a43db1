import type { CheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'

/** Time between two checks, milliseconds. */
const INTERVAL_MS = 5_000
/** An event loop that is busier than this, without accepting anything, is suspicious. */
const SUSPICIOUS_UTILIZATION = 0.5

/**
 * Detects that a listening socket no longer listens, for example after a shutdown(2) by a process that shares it.
 *
 * libuv (uv__server_io) ignores all errors of accept(2) and is woken again at once, so the process spins and nothing is reported.
 * Therefore a process that is busy without accepting anything checks its socket.
 *
 * @param loadSyscalls returns undefined where there is no FFI
 * @param descriptor returns the listening socket, or undefined while accepting is paused
 * @param accepted returns the number of connections so far
 * @param onBroken called once
 * @returns a function that stops the watch
 */
export function watchListener(
  loadSyscalls: () => CheckedSyscalls | undefined,
  descriptor: () => number | undefined,
  accepted: () => number,
  onBroken: () => void,
): () => void {
  let before = { accepted: accepted(), loop: performance.eventLoopUtilization() }
  const timer = setInterval(() => {
    const now = { accepted: accepted(), loop: performance.eventLoopUtilization() }
    // The utilization of the loop, not of the processor: a spinning process may get any share of the processor.
    const { utilization } = performance.eventLoopUtilization(now.loop, before.loop)
    const isSuspicious = utilization > SUSPICIOUS_UTILIZATION && now.accepted === before.accepted
    before = now
    const fd = descriptor()
    if (!isSuspicious || fd === undefined || loadSyscalls()?.isListening(fd) !== false) return
    clearInterval(timer)
    onBroken()
  }, INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}
