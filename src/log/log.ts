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

/** A log with pino's lines; `flush` resolves when all lines so far have been handed to the sink. */
export interface StderrLog extends Log {
  flush(): Promise<void>
}

/**
 * The log on stderr. pino is loaded with the first line that anyone can read: start-up does not pay
 * for it, nor does a proxy under dockerd, whose stderr is /dev/null.
 *
 * @param name the program's name in each line
 * @param level lines below it are not written
 */
export function openStderrLog(name: string, level: LogLevel): StderrLog {
  const sink = level === 'silent' ? undefined : openStderrSink()
  const limit = LOG_LEVELS.indexOf(level)
  let waiting: Promise<void> = Promise.resolve()
  let pino: Promise<Log> | undefined

  const load = async (to: LineSink): Promise<Log> => {
    try {
      return await (await import('./pino-log.js')).createPinoLog(name, level, to)
    } catch {
      return createPlainLog(name, to)
    }
  }

  const write = (lineLevel: LineLevel, message: string, fields: LogFields = {}): void => {
    if (!sink || LOG_LEVELS.indexOf(lineLevel) > limit) return
    const line = { time: Date.now(), ...fields }
    pino ??= load(sink)
    const loaded = pino
    waiting = waiting
      .then(async () => (await loaded)[lineLevel](message, line))
      // A log that can't be written has nowhere to say so, and must not stop the proxy.
      .catch(() => undefined)
  }
  return {
    error: (message, fields) => write('error', message, fields),
    warn: (message, fields) => write('warn', message, fields),
    info: (message, fields) => write('info', message, fields),
    debug: (message, fields) => write('debug', message, fields),
    debugEnabled: sink !== undefined && LOG_LEVELS.indexOf('debug') <= limit,
    flush: () => waiting,
  }
}
