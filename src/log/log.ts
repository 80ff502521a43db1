import { createPlainLog } from './plain-log.js'
import { openStderrSink, type LineSink } from './stderr-sink.js'

export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]
type LineLevel = 'error' | 'warn' | 'info' | 'debug'

/** What a line is about, beside its sentence. */
type LogFields = Record<string, unknown>

/** Where a program tells what happens to it; no call ever throws or waits. */
export interface Log {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  /** Whether debug lines are wanted, where making one costs something. */
  readonly debugEnabled: boolean
}

/**
 * The log of a program, or of a part of it, on stderr: pino's lines. pino is loaded with the first line that anyone can read: start-up
 * does not pay for it, nor does a proxy under dockerd, whose stderr is /dev/null.
 */
export class StderrLog implements Log {
  private constructor(
    private readonly lines: Lines,
    private readonly level: LogLevel,
    private readonly fields?: LogFields,
  ) {}

  /**
   * @param name the program's, in each line
   * @param level lines below it are not written
   */
  static open(name: string, level: LogLevel): StderrLog {
    // Its parts may want more than it.
    return new StderrLog(new Lines(name), level)
  }

  /**
   * That of a part.
   * @param fields in each of its lines
   * @param level of its own
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
    return this.#wants('debug') && this.lines.canBeRead
  }

  /** Resolves when all lines so far have been handed to the sink. */
  flush(): Promise<void> {
    return this.lines.written
  }

  #wants(level: LineLevel): boolean {
    return LOG_LEVELS.indexOf(level) <= LOG_LEVELS.indexOf(this.level)
  }

  #write(level: LineLevel, message: string, fields?: LogFields): void {
    if (!this.#wants(level)) return
    this.lines.write(level, message, { time: Date.now(), ...this.fields, ...fields })
  }
}

/** What all parts of a program write, in its order. */
class Lines {
  written: Promise<void> = Promise.resolve()
  #sink: LineSink | undefined | 'not opened' = 'not opened'
  #log: Promise<Log> | undefined

  constructor(private readonly name: string) {}

  get canBeRead(): boolean {
    return this.#openSink() !== undefined
  }

  write(level: LineLevel, message: string, fields: LogFields): void {
    const sink = this.#openSink()
    if (!sink) return
    const log = (this.#log ??= this.#load(sink))
    this.written = this.written
      .then(async () => (await log)[level](message, fields))
      // A log that can't be written has nowhere to say so, and must not stop the proxy.
      .catch(() => undefined)
  }

  #openSink(): LineSink | undefined {
    if (this.#sink === 'not opened') this.#sink = openStderrSink()
    return this.#sink
  }

  async #load(sink: LineSink): Promise<Log> {
    try {
      return await (await import('./pino-log.js')).createPinoLog(this.name, sink)
    } catch {
      return createPlainLog(this.name, sink)
    }
  }
}
