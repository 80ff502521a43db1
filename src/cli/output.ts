import { writeSync } from 'node:fs'
import { printableJson, printableLines } from '../printable.js'

const STDERR_FD = 2

// Without a listener, a failed write would end the process. `print` reports the failure as well.
process.stdout.on('error', () => undefined)

/** Prints a result on stdout. Rejects if it can't be written: a result that nobody gets is a failure. */
export function print(text: string): Promise<void> {
  return write(printableLines(text))
}

export function printJson(value: unknown): Promise<void> {
  return write(printableJson(JSON.stringify(value, null, 2)))
}

function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text + '\n', (err) => {
      if (err) reject(err)
      else resolve()
    })
  })
}

/** Writes a line to stderr. */
export function complain(text: string): void {
  try {
    writeSync(STDERR_FD, printableLines(text) + '\n')
  } catch {
    // Nobody reads stderr. The exit code reports the error as well.
  }
}
