import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { Socket } from 'node:net'
import { isatty } from 'node:tty'
import { errnoCode } from '../linux/errno.js'

const STDERR_FD = 2
/** Device number of /dev/null: major 1, minor 3, see null(4). */
const DEV_NULL = 0x103
/** How much may wait for the reader of a socket before lines are dropped, bytes. */
const MAX_WAITING = 64 * 1024

/** Takes whole lines, and neither waits nor throws whatever the other end does. */
export interface LineSink {
  readonly isTerminal: boolean
  write(line: string): void
}

/**
 * stderr as a sink; undefined where nobody can read it.
 *
 * `process.stderr` would not do: Node writes to pipes and terminals synchronously there, so a reader
 * that stops reading would stop the proxy.
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
  // Another user's terminal, as after su(1), takes lines only the plain way.
  if (isTerminal) return countLosses(reopenedWriter() ?? tryWriteStderr, isTerminal)
  return countLosses(tryWriteStderr, isTerminal)
}

/** Writes a line, and tells whether it went out. */
type Writer = (line: string) => boolean

function tryWriteStderr(line: string): boolean {
  try {
    writeSync(STDERR_FD, line)
    return true
  } catch {
    return false // A full pipe, a full disk, a reader gone: the next line may fare better.
  }
}

/**
 * A FIFO or terminal, opened once more without blocking. O_NONBLOCK on stderr itself would also hold for
 * the shell and everyone else who shares it.
 */
function reopenedWriter(): Writer | undefined {
  let fd: number | undefined
  const open = () =>
    openSync(
      `/proc/self/fd/${STDERR_FD}`,
      constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY,
    )
  try {
    fd = open()
  } catch (err) {
    // ENXIO: nobody reads now. Anything else, as another user's FIFO, stays as it is.
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

/** What can't be opened again, as a socket to systemd's journal, is written to by Node's event loop. */
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
