import { writeFileSync } from 'node:fs'

/**
 * Makes this process appear under its own name instead of `node`: `ps` shows the command line, `pgrep -x` and `pidof` find the name.
 *
 * @param name at most 15 bytes, see proc(5), `/proc/self/comm`
 * @param commandLine cut off at the length of the original command line
 */
export function setProcessName(name: string, commandLine: readonly string[]): void {
  process.title = commandLine.join(' ')
  try {
    // process.title has written its own first 15 bytes there.
    writeFileSync('/proc/self/comm', name)
  } catch {
    // A proxy works without the name.
  }
}
