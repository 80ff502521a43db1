import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { errnoCode } from '../linux/errno.js'
import { descriptorPath } from '../linux/proc/descriptors.js'

const STDERR_FD = 2
/** Device number of /dev/null: major 1, minor 3, see null(4). */
const DEV_NULL = 0x103
/** Lines are dropped while this much waits for the reader of a socket, bytes. */
const MAX_WAITING = 64 * 1024

/** Writes whole lines. Never waits or throws, whatever the other end does. */
export interface LineSink {
  readonly isTerminal: boolean
  write(line: string): void
}

/**
 * Opens stderr as a sink. `process.stderr` is unsuitable: Node writes to pipes and terminals synchronously, so a reader that stops reading
 * would stop the proxy.
 * @returns undefined if nobody can read stderr
 */
export function openStderrSink(): LineSink | undefined {
  let stat
  try {
    stat = fstatSync(STDERR_FD)
  } catch {
    return undefined
  }
  if (stat.isCharacterDevice() && stat.rdev === DEV_NULL) return undefined
  const isTerminal = isatty(STDERR_FD)
  if (stat.isSocket()) return countLosses(socketWriter(), isTerminal)
  if (stat.isFIFO()) return countLosses(reopenedWriter() ?? socketWriter(), isTerminal)
  // The terminal of another user, for example after su(1), can't be opened again.
  if (isTerminal) return countLosses(reopenedWriter() ?? tryWriteStderr, isTerminal)
  return countLosses(tryWriteStderr, isTerminal)
}

/** Writes a line. @returns whether it was written */
type Writer = (line: string) => boolean

function tryWriteStderr(line: string): boolean {
  try {
    writeSync(STDERR_FD, line)
    return true
  } catch {
    return false // A full pipe, a full disk, or no reader. The next line may succeed.
  }
}

/**
 * Opens a FIFO or terminal again, non-blocking. O_NONBLOCK on stderr itself would affect the shell and every other process that shares it.
 * @returns undefined if it can't be opened again
 */
function reopenedWriter(): Writer | undefined {
  let fd: number | undefined
  const open = () =>
    openSync(
      descriptorPath('self', STDERR_FD),
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    )
  try {
    fd = open()
  } catch (err) {
    // ENXIO: nobody reads at the moment. Any other error is permanent, for example with another user's FIFO.
    if (errnoCode(err) !== 'ENXIO') return undefined
  }
  return (line) => {
    try {
      fd ??= open()
      writeSync(fd, line)
      return true
    } catch (err) {
      if (errnoCode(err) === 'EPIPE' && fd !== undefined) {
        closeSync(fd)
        fd = undefined
      }
      return false
    }
  }
}

/** Writes with Node's event loop to stderr that can't be opened again, for example a socket of systemd's journal. */
function socketWriter(): Writer {
  let socket: Socket | undefined
  const open = () => {
    const opened = new Socket({ fd: STDERR_FD, readable: false, writable: true })
    opened.on('error', () => undefined)
    opened.unref()
    return opened
  }
  return (line) => {
    try {
      socket ??= open()
    } catch {
      return false
    }
    if (socket.destroyed || socket.writableLength > MAX_WAITING) return false
    socket.write(line)
    return true
  }
}

function countLosses(write: Writer, isTerminal: boolean): LineSink {
  let lost = 0
  return {
    isTerminal,
    write(line) {
      if (lost > 0) {
        const notice = `${JSON.stringify({ level: 40, time: Date.now(), msg: `${lost} log lines lost: stderr could not be written` })}\n`
        if (!write(notice)) {
          lost++
          return
        }
        lost = 0
      }
      if (!write(line)) lost++
    },
  }
}
