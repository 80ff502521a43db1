import { writeSync } from 'node:fs'
import { setImmediate } from 'node:timers/promises'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { printable, printableJson, printableLines } from '../printable.js'

const STDERR_FD = 2

let failure: Error | undefined
// Without a listener, a failed write would end the process.
process.stdout.on('error', (err: Error) => (failure ??= stdoutError(err)))

/** Prints a result on stdout. Rejects if it can't be written: a result that nobody gets is a failure. */
export function print(text: string): Promise<void> {
  return write(printableLines(text))
}

/** Prints one line for each result. Foreign text adds no line. Without results, nothing is printed. */
export async function printEach(lines: readonly string[]): Promise<void> {
  if (lines.length > 0) await print(lines.map(printable).join('\n'))
}

export function printJson(value: unknown): Promise<void> {
  return write(printableJson(JSON.stringify(value, null, 2)))
}

function write(text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    process.stdout.write(text + '\n', (err) => {
      if (err) reject(stdoutError(err))
      else resolve()
    })
  })
}

/** Rejects if anything could not be printed, help and version of yargs included. */
export async function allPrinted(): Promise<void> {
  await setImmediate() // Node reports a failed write in the next turn.
  if (failure) throw failure
}

function stdoutError(err: Error): Error {
  const code = errnoCode(err)
  return Object.assign(new Error(`can't write to stdout: ${errnoReason(err)}`), { code })
}

/** Writes a line to stderr. */
export function complain(text: string): void {
  try {
    writeSync(STDERR_FD, printableLines(text) + '\n')
  } catch {
    // Nobody reads stderr. The exit code reports the error as well.
  }
}
