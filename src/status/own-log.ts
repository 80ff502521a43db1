import { errnoCode } from '../linux/errno.js'
import type { LogTail, NumberedLine } from '../log/log-tail.js'
import { requestLines, sendRequest, type RequestHandlers } from './status-socket.js'

/** `log`: the lines that the process keeps. */
const LOG_REQUEST = 'log'
/** `follow NUMBER`: the kept lines after this one, and those to come; without a number those to come. */
const FOLLOW_REQUEST = 'follow'

/** The replies to requests for the log of this process. */
export function logHandlers(tail: LogTail): RequestHandlers {
  return {
    [LOG_REQUEST]: () => tail.lines,
    [FOLLOW_REQUEST](_, argument) {
      const after = argument === '' ? tail.count : Number(argument)
      if (after >= 0) return tail.follow(after)
      throw new Error(`${JSON.stringify(argument)} is not the number of a line`)
    },
  }
}

/**
 * The lines that a process keeps, the oldest first. Without a process there are none.
 * @param path of its status socket
 * Rejects if it does not reply, or is of a version that does not keep its log.
 */
export async function readLog(path: string): Promise<readonly NumberedLine[]> {
  try {
    const { value, connection } = await sendRequest(path, LOG_REQUEST)
    connection.destroy()
    if (Array.isArray(value)) return value as NumberedLine[]
  } catch (err) {
    if (['ENOENT', 'ECONNREFUSED'].includes(errnoCode(err) ?? '')) return []
    throw err
  }
  throw new Error('it is of an earlier version')
}

/**
 * Yields the number of the newest line of a process's log, and then the lines from now on, until it ends or `signal` does.
 * @param path of its status socket
 * @param after the number of the last line that is known; undefined for the newest one
 * Rejects if there is no such process, or if it does not serve its log.
 */
export async function* followLog(
  path: string,
  after: number | undefined,
  signal: AbortSignal,
): AsyncGenerator<NumberedLine | NewestLine> {
  const request = after === undefined ? FOLLOW_REQUEST : `${FOLLOW_REQUEST} ${after}`
  for await (const text of requestLines(path, request, signal)) {
    const line = JSON.parse(text) as NumberedLine | NewestLine | ErrorReply
    if ('error' in line) throw new Error(line.error)
    yield line
  }
}

/** The number of the newest line of a process. */
interface NewestLine {
  readonly pid: number
  readonly newest: number
}

interface ErrorReply {
  readonly error: string
}
