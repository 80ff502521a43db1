import type { Readable } from 'node:stream'
import { lineStream } from './line-stream.js'
import { LEVEL_NUMBERS, type LineLevel, type LogFields } from './log.js'

/** Lines that are kept. */
const KEPT_LINES = 256

/** A line of a log, with the names and numbers of pino. */
export interface LogLine extends LogFields {
  readonly level: number
  /** Milliseconds since 1970. */
  readonly time: number
  readonly msg: string
}

/** A line, and its number in the log of its process, from 1 on. */
export interface NumberedLine {
  readonly pid: number
  readonly n: number
  readonly line: LogLine
}

/** The newest lines of the log of a process. */
export class LogTail {
  /** A ring: after the last line comes the oldest one. */
  readonly #lines: NumberedLine[] = []
  #count = 0
  readonly #readers = new Set<(line: NumberedLine) => void>()

  /** @param fields with the time */
  add(level: LineLevel, msg: string, fields: LogFields & { readonly time: number }): void {
    const line = { level: LEVEL_NUMBERS[level], ...fields, msg }
    const numbered = { pid: process.pid, n: ++this.#count, line }
    this.#lines[(numbered.n - 1) % KEPT_LINES] = numbered
    for (const read of this.#readers) read(numbered)
  }

  /** The lines that are kept, the oldest first. */
  get lines(): readonly NumberedLine[] {
    const oldest = this.#count % KEPT_LINES
    return this.#count < KEPT_LINES
      ? [...this.#lines]
      : [...this.#lines.slice(oldest), ...this.#lines.slice(0, oldest)]
  }

  /** The number of the newest line. */
  get count(): number {
    return this.#count
  }

  /** As JSON, the number of the newest line, then the kept lines after a number, and those to come, until the reader leaves. */
  follow(after: number): Readable {
    return lineStream((push) => {
      const read = (line: NumberedLine): void => push(JSON.stringify(line) + '\n')
      push(JSON.stringify({ pid: process.pid, newest: this.#count }) + '\n')
      this.lines.filter(({ n }) => n > after).forEach(read)
      this.#readers.add(read)
      return () => this.#readers.delete(read)
    })
  }
}
