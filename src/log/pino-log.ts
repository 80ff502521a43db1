import { pino } from 'pino'
import type { Log } from './log.js'
import type { LineSink } from './stderr-sink.js'

/**
 * pino, writing its lines to the sink: as JSON, or as text for people where the sink is a terminal. It writes all it is given.
 */
export async function createPinoLog(name: string, sink: LineSink): Promise<Log> {
  const format = sink.isTerminal ? await loadPretty() : (line: string) => line
  const logger = pino(
    // Each line brings the time it was made, which is earlier than the time pino was loaded.
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
