export const LOG_LEVELS = ['silent', 'fatal', 'error', 'warn', 'info', 'debug', 'trace'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** The levels of lines, and pino's numbers for them. */
export const LEVEL_NUMBERS = { error: 50, warn: 40, info: 30, debug: 20 } as const
export type LineLevel = keyof typeof LEVEL_NUMBERS

/** Forms of a log line: for people, or for programs. */
export const LOG_FORMATS = ['text', 'json'] as const
export type LogFormat = (typeof LOG_FORMATS)[number]

/** Values that a line has beside its sentence. */
export type LogFields = Record<string, unknown>

/** Receives what happens in a program. No method throws or waits. */
export interface Log {
  error(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  /** Whether debug lines are written. Check it if making a line is expensive. */
  readonly debugEnabled: boolean
}
