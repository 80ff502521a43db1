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

/** The newest lines of the log of a process. */
export class LogTail {
  /** A ring: after the last line comes the oldest one. */
  readonly #lines: LogLine[] = []
  #next = 0
  readonly #readers = new Set<(line: LogLine) => void>()

  /** @param fields with the time */
  add(level: LineLevel, msg: string, fields: LogFields & { readonly time: number }): void {
    const line = { level: LEVEL_NUMBERS[level], ...fields, msg }
    this.#lines[this.#next] = line
    this.#next = (this.#next + 1) % KEPT_LINES
    for (const read of this.#readers) read(line)
  }

  /** The lines that are kept, the oldest first. */
  get lines(): readonly LogLine[] {
    return [...this.#lines.slice(this.#next), ...this.#lines.slice(0, this.#next)]
  }

  /**
   * The lines as JSON, one each.
   * @param count the number of kept lines at most
   * @param follows whether lines from now on follow, after an empty one
   */
  stream(count: number, follows: boolean): Readable {
    return lineStream((push, end) => {
      const read = (line: LogLine): void => push(JSON.stringify(line) + '\n')
      const { lines } = this
      lines.slice(Math.max(0, lines.length - count)).forEach(read)
      if (follows) {
        push('\n')
        this.#readers.add(read)
      } else {
        end()
      }
      return () => this.#readers.delete(read)
    })
  }
}
