import { pino } from 'pino'
import type { Log } from './log.js'
import type { LineSink } from './stderr-sink.js'

/** Writes lines of all levels with pino: as JSON, or as coloured text if the sink is a terminal. */
export async function createPinoLog(name: string, sink: LineSink): Promise<Log> {
  const format = sink.isTerminal ? await loadPretty() : (line: string) => line
  const logger = pino(
    // Lines have their own time, which may be before pino was loaded.
    { name, level: 'trace', timestamp: false },
    { write: (line: string) => sink.write(format(line)) },
  )
  return {
    error: (message, fields) => logger.error(fields, message),
    warn: (message, fields) => logger.warn(fields, message),
    info: (message, fields) => logger.info(fields, message),
    debug: (message, fields) => logger.debug(fields, message),
    debugEnabled: true,
  }
}

async function loadPretty(): Promise<(line: string) => string> {
  const { prettyFactory } = await import('pino-pretty')
  const pretty = prettyFactory({
    colorize: true,
    translateTime: 'SYS:HH:MM:ss.l',
    ignore: 'pid,hostname,name',
    singleLine: true,
  })
  return (line) => pretty(line)
}
