import type { Libc } from '../../linux/libc.js'

/** How often to look, milliseconds. */
const INTERVAL_MS = 5_000
/** From this part of a processor on, it is worth a closer look. */
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
  let before = { accepted: accepted(), cpu: process.cpuUsage() }
  const timer = setInterval(() => {
    const now = { accepted: accepted(), cpu: process.cpuUsage() }
    const used = now.cpu.user + now.cpu.system - before.cpu.user - before.cpu.system
    const suspicious = used > INTERVAL_MS * 1000 * BUSY && now.accepted === before.accepted
    before = now
    const fd = descriptor()
    if (!suspicious || fd === undefined || loadLibc()?.isListening(fd) !== false) return
    clearInterval(timer)
    broken()
  }, INTERVAL_MS)
  timer.unref()
  return () => clearInterval(timer)
}
