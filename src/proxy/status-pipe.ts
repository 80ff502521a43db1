import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { descriptorAccess, descriptorPath, holdsReadingEnd } from '../linux/proc/descriptors.js'
import { errnoCode } from '../linux/errno.js'
import { STATUS_FAILED, STATUS_FD, STATUS_READY } from './inherited-descriptors.js'

/** Wait before writing to a full pipe again, milliseconds. */
const RETRY_MS = 20

/** Tells the parent whether the port is published: one message, then the end. */
export interface StatusPipe {
  /** Clients can connect. Rejects if the message can't be delivered. */
  ready(): Promise<void>
  /** The port can't be published. Rejects if the message can't be delivered. */
  fail(reason: string): Promise<void>
}

/**
 * Opens the status pipe that the parent handed over. Without one, all messages are dropped.
 *
 * If the program is started by hand, descriptor 3 may belong to the runtime: an epoll set, or an end of a pipe that the runtime writes to
 * itself. Close-on-exec can't tell these apart, because Node sets it on everything it inherits. Therefore descriptor 3 counts as the
 * parent's only if it is a file, a socket, or a FIFO open for writing whose reading end is in another process.
 */
export function openStatusPipe(): StatusPipe {
  const kind = statusPipeKind()
  if (kind === undefined) {
    return { ready: () => Promise.resolve(), fail: () => Promise.resolve() }
  }
  return {
    ready: () => send(kind, STATUS_READY),
    fail: (reason) => send(kind, STATUS_FAILED + reason),
  }
}

type Kind = 'fifo' | 'other'

function statusPipeKind(): Kind | undefined {
  try {
    const stat = fstatSync(STATUS_FD)
    const access = descriptorAccess(STATUS_FD)
    if (access === undefined || access === 'read') return undefined
    if (stat.isSocket() || stat.isFile()) return 'other'
    return stat.isFIFO() && !holdsReadingEnd(STATUS_FD) ? 'fifo' : undefined
  } catch {
    return undefined
  }
}

async function send(kind: Kind, message: string): Promise<void> {
  const fd = kind === 'fifo' ? reopen() : STATUS_FD
  try {
    let rest = Buffer.from(message)
    while (rest.length > 0) {
      try {
        rest = rest.subarray(writeSync(fd, rest))
      } catch (err) {
        if (errnoCode(err) !== 'EAGAIN') throw err
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  } finally {
    if (fd !== STATUS_FD) closeSync(fd)
    closeSync(STATUS_FD)
  }
}

/**
 * Opens the same FIFO again, without blocking. A parent that does not read must not block the proxy, and O_NONBLOCK on the inherited
 * descriptor would affect every process that shares it.
 */
function reopen(): number {
  try {
    return openSync(descriptorPath('self', STATUS_FD), constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (err) {
    // These prevent opening the pipe by its path, but not writing to it: another user made it, or no descriptor is left.
    if (['EACCES', 'EMFILE', 'ENFILE'].includes(errnoCode(err) ?? '')) return STATUS_FD
    closeSync(STATUS_FD)
    throw errnoCode(err) === 'ENXIO' ? new Error('nobody reads the status pipe') : err
  }
}
