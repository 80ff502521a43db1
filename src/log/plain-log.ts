import { hostname } from 'node:os'
import type { Log } from './log.js'
import { printableJson } from '../printable.js'
import type { LineSink } from './stderr-sink.js'

/** pino's numbers for the levels. */
const LEVELS = { error: 50, warn: 40, info: 30, debug: 20 } as const

/**
 * Writes pino's lines without pino: for a program that was copied without the files beside it, or that has no descriptor left to read
 * them.
 */
export function createPlainLog(name: string, sink: LineSink): Log {
  const common = { pid: process.pid, hostname: hostname(), name }
  const write =
    (level: keyof typeof LEVELS) =>
    (msg: string, fields: Record<string, unknown> = {}): void =>
      sink.write(
        printableJson(JSON.stringify({ level: LEVELS[level], ...common, ...fields, msg })) + '\n',
      )
  return {
    error: write('error'),
    warn: write('warn'),
    info: write('info'),
    debug: write('debug'),
    debugEnabled: true,
  }
}
