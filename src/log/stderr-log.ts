import { createPlainLog } from './plain-log.js'
import {
  LOG_LEVELS,
  type LineLevel,
  type Log,
  type LogFields,
  type LogFormat,
  type LogLevel,
} from './log.js'
import type { LogTail } from './log-tail.js'
import { openStderrSink, type LineSink } from './stderr-sink.js'

/**
 * The log of a program, or of a part of it, on stderr, written by pino. pino is loaded with the first line that anybody can read: neither
 * start-up nor a proxy under dockerd, whose stderr is /dev/null, pays for it.
 */
export class StderrLog implements Log {
  private constructor(
    private readonly lines: Lines,
    private readonly level: LogLevel,
    private readonly fields?: LogFields,
  ) {}

  /**
   * @param name of the program; every line contains it
   * @param level lines below it are not written
   * @param format by default text on a terminal, else JSON
   * @param tail gets each line as well
   */
  static open(name: string, level: LogLevel, format?: LogFormat, tail?: LogTail): StderrLog {
    return new StderrLog(new Lines(name, format, tail), level)
  }

  /**
   * The log of a part of the program.
   * @param fields that every line of it contains
   * @param level may be lower than the program's
   */
  child(fields: LogFields, level = this.level): StderrLog {
    return new StderrLog(this.lines, level, { ...this.fields, ...fields })
  }

  error(message: string, fields?: LogFields): void {
    this.#write('error', message, fields)
  }

  warn(message: string, fields?: LogFields): void {
    this.#write('warn', message, fields)
  }

  info(message: string, fields?: LogFields): void {
    this.#write('info', message, fields)
  }

  debug(message: string, fields?: LogFields): void {
    this.#write('debug', message, fields)
  }

  get debugEnabled(): boolean {
    return this.#isEnabled('debug') && this.lines.canBeRead
  }

  /** Resolves when the sink has all lines so far. */
  flush(): Promise<void> {
    return this.lines.written
  }

  #isEnabled(level: LineLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.level)
  }

  #write(level: LineLevel, message: string, fields?: LogFields): void {
    if (!this.#isEnabled(level)) return
    this.lines.write(level, message, { time: Date.now(), ...this.fields, ...fields })
  }
}

/** The lines of all parts of a program, in their order. */
class Lines {
  written: Promise<void> = Promise.resolve()
  #sink: LineSink | undefined | 'not opened' = 'not opened'
  #log: Promise<Log> | undefined

  constructor(
    private readonly name: string,
    private readonly format: LogFormat | undefined,
    private readonly tail: LogTail | undefined,
  ) {}

  get canBeRead(): boolean {
    return this.tail !== undefined || this.#openSink() !== undefined
  }

  write(level: LineLevel, message: string, fields: LogFields & { readonly time: number }): void {
    this.tail?.add(level, message, fields)
    const sink = this.#openSink()
    if (!sink) return
    const log = (this.#log ??= this.#load(sink))
    this.written = this.written
      .then(async () => (await log)[level](message, fields))
      // A log that can't be written has nowhere to report this, and must not stop the proxy.
      .catch(() => undefined)
  }

  #openSink(): LineSink | undefined {
    if (this.#sink === 'not opened') this.#sink = openStderrSink()
    return this.#sink
  }

  async #load(sink: LineSink): Promise<Log> {
    try {
      const format = this.format ?? (sink.isTerminal ? 'text' : 'json')
      return await (await import('./pino-log.js')).createPinoLog(this.name, sink, format)
    } catch {
      return createPlainLog(this.name, sink)
    }
  }
}
