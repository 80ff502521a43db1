/**
 * Signals that Go programs ignore. SIGUSR1 would have Node listen for a debugger on a TCP port, and all others would end the program.
 * Source: Go's runtime/sigtab_linux_generic.go; process.html#signal-events of Node.
 */
export const IGNORED_SIGNALS = [
  'SIGUSR1',
  'SIGUSR2',
  'SIGALRM',
  'SIGVTALRM',
  'SIGPROF',
  'SIGIO',
  'SIGPWR',
  'SIGXCPU',
  'SIGXFSZ',
] as const

/** Has this process ignore the signals that Go programs ignore. It may still listen for them. */
export function ignoreSignals(): void {
  for (const signal of IGNORED_SIGNALS) process.on(signal, () => undefined)
}

/**
 * Resolves with the first signal that asks this process to end. Later signals are ignored: Ctrl-C may come twice, from the terminal and
 * from a parent that forwards it.
 * @param isForeground whether the process also ends with its terminal, by SIGHUP
 */
export function stopSignal({ isForeground = false } = {}): Promise<NodeJS.Signals> {
  return new Promise((resolve) => {
    process.on('SIGINT', resolve)
    process.on('SIGTERM', resolve)
    if (isForeground) process.on('SIGHUP', resolve)
  })
}

/** Has a service ignore SIGHUP, which asks many services to read their settings again. @param notice called with each one */
export function ignoreHangup(notice: () => void): void {
  process.on('SIGHUP', notice)
}

/** A second signal within this time, milliseconds, is the same Ctrl-C: it comes from the terminal, and from a parent that forwards it. */
export const SAME_SIGNAL_MS = 1_000
