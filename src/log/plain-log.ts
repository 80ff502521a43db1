import { hostname } from 'node:os'
import { LEVEL_NUMBERS, type LineLevel, type Log } from './log.js'
import { printableJson } from '../printable.js'
import type { LineSink } from './stderr-sink.js'

/**
 * Writes pino's lines without pino: for a program that was copied without the files of pino, or that has no descriptor left to read
 * them.
 */
export function createPlainLog(name: string, sink: LineSink): Log {
  const common = { pid: process.pid, hostname: hostname(), name }
  const write =
    (level: LineLevel) =>
    (msg: string, fields: Record<string, unknown> = {}): void =>
      sink.write(
        printableJson(JSON.stringify({ level: LEVEL_NUMBERS[level], ...common, ...fields, msg })) +
          '\n',
      )
  return {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    debugEnabled: true,
  }
}
