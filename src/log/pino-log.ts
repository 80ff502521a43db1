import { pino } from 'pino'
import type { Log, LogFormat } from './log.js'
import { printable, printableJson } from '../printable.js'
import type { LineSink } from './stderr-sink.js'

/** Writes lines of all levels with pino, as JSON or as text, which has colours on a terminal. */
export async function createPinoLog(
  name: string,
  sink: LineSink,
  logFormat: LogFormat,
): Promise<Log> {
  const format =
    logFormat === 'text' ? await loadTextFormat(sink.isTerminal) : (line: string) => line
  const logger = pino(
    // Lines have their own time, which may be before pino was loaded.
    { name, level: 'trace', timestamp: false },
    { write: (line: string) => sink.write(format(printableJson(line))) },
  )
  return {
    error: (message, fields) => logger.error(fields, message),
    warn: (message, fields) => logger.warn(fields, message),
    info: (message, fields) => logger.info(fields, message),
    debug: (message, fields) => logger.debug(fields, message),
    debugEnabled: true,
  }
}

/** Loads the function that turns a line of JSON into text. */
export async function loadTextFormat(hasColours: boolean): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty')
  const pretty = prettyFactory({
    colorize: hasColours,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,name',
    singleLine: true,
  })
  // JSON has escapes for control characters. The text must not bring them back.
  return (line) => pretty(printableValues(JSON.parse(line) as object))
}

/** The same object, with all its texts in printable form. */
function printableValues(value: object): object {
  const entries = Object.entries(value).map(([key, each]: [string, unknown]) => [
    printable(key),
    typeof each === 'string' ? printable(each) : isObject(each) ? printableValues(each) : each,
  ])
  return Object.fromEntries(entries) as object
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null
}
