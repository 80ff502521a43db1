import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs'
import { descriptorAccess, holdsReadingEnd } from '../linux/descriptors.js'
import { errnoCode } from '../linux/errno.js'

/** The number by which dockerd hands over the pipe. */
const STATUS_FD = 3
/** How long to wait before a full pipe is tried again, milliseconds. */
const RETRY_MS = 20

/** Where the parent learns whether the port is published: one message, then the end. */
export interface StatusPipe {
  /** Connections can be accepted: `0\n`. Rejects when the parent can't be told. */
  ready(): Promise<void>
  /** They can't: `1\n` and why. Rejects when the parent can't be told. */
  failed(reason: string): Promise<void>
}

/**
 * The status pipe the parent handed over, or one that swallows everything where there is none.
 *
 * Run by hand, number 3 may be the runtime's own: an epoll, or an end of a pipe it talks to itself
 * with. Close-on-exec can't tell them apart, since Node sets it on all it inherits. So it is taken for
 * the parent's only if it is a file, a socket or a FIFO open for writing whose reading end is
 * elsewhere.
 */
export function openStatusPipe(): StatusPipe {
  const kind = statusPipeKind()
  if (kind === undefined) {
    return { ready: () => Promise.resolve(), failed: () => Promise.resolve() }
  }
  return {
    ready: () => send(kind, '0\n'),
    failed: (reason) => send(kind, `1\n${reason}`),
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
 * The same FIFO, opened again without blocking: a parent that does not read must not freeze the proxy,
 * and O_NONBLOCK on the inherited descriptor would change it for everyone who shares it.
 */
function reopen(): number {
  try {
    return openSync(`/proc/self/fd/${STATUS_FD}`, constants.O_WRONLY | constants.O_NONBLOCK)
  } catch (err) {
    // A pipe made by another user can't be opened by its path, nor any without a descriptor left, but it can be
    // written to.
    if (['EACCES', 'EMFILE', 'ENFILE'].includes(errnoCode(err) ?? '')) return STATUS_FD
    closeSync(STATUS_FD)
    throw errnoCode(err) === 'ENXIO' ? new Error('nobody reads the status pipe') : err
  }
}
