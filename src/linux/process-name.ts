import { writeFileSync } from 'node:fs'

/**
 * Makes this process look like a program of its own rather than like `node`: `ps` shows the command line,
 * `pgrep -x` and `pidof` find the name.
 *
 * @param name at most 15 bytes, see proc(5), `/proc/self/comm`
 * @param commandLine the kernel has no more room for it than the original command line took
 */
export function setProcessName(name: string, commandLine: readonly string[]): void {
  process.title = commandLine.join(' ')
  try {
    // process.title has put its own first 15 bytes there.
    writeFileSync('/proc/self/comm', name)
  } catch {
    // Only a name: a proxy that may not change it works as well.
  }
}
