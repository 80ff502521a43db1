import type { LogLine } from '../log/log-tail.js'
import { requestLines } from './status-socket.js'

/** `log COUNT [follow]`: the newest lines of the process's log, and those from now on after an empty line. */
export const LOG_REQUEST = 'log'
const FOLLOW = 'follow'

/** The lines of a log that a reader wants. */
export interface LogRequest {
  /** The number of earlier lines at most; Infinity for all that are kept. */
  readonly count: number
  /** Whether lines from now on follow. */
  readonly follows: boolean
}

/** @throws Error */
export function parseLogRequest(text: string): LogRequest {
  const [count = '', follow] = text.split(' ')
  if (/^(\d+|Infinity)$/.test(count)) return { count: Number(count), follows: follow === FOLLOW }
  throw new Error(`${JSON.stringify(count)} is not a number of lines`)
}

/**
 * Yields the lines of a process's log. `undefined` comes between the earlier lines and those that follow.
 * @param path of its status socket
 * @param signal ends the lines
 * Rejects if the process is of a version that does not serve its log. Without a process there are no lines.
 */
export async function* readLog(
  path: string,
  { count, follows }: LogRequest,
  signal: AbortSignal,
): AsyncGenerator<LogLine | undefined> {
  const request = [LOG_REQUEST, count, ...(follows ? [FOLLOW] : [])].join(' ')
  for await (const text of requestLines(path, request, signal)) {
    if (text === '') {
      yield undefined
      continue
    }
    const line = JSON.parse(text) as LogLine | { readonly error: string }
    // The reply of a process that knows no such request.
    if (!('msg' in line)) throw new Error('it is of an earlier version')
    yield line
  }
}
