import { closeSync, fstatSync, readdirSync, readFileSync } from 'node:fs'

/**
 * What /proc tells about this process's own descriptors.
 * Source: proc(5), `/proc/self/fd`, `/proc/self/fdinfo` and `/proc/self/limits`.
 */

const O_ACCMODE = 0o3
const O_WRONLY = 0o1
const O_RDWR = 0o2

/** What tells a file from all others, whatever it is called; see inode(7). */
export interface FileId {
  readonly dev: number
  readonly ino: number
}

export function isSameFile(one: FileId, other: FileId): boolean {
  return one.dev === other.dev && one.ino === other.ino
}

/** How many descriptors are open now. */
export function countOpenDescriptors(): number {
  // The folder's own descriptor is among them while it is read.
  return readdirSync('/proc/self/fd').length - 1
}

/** The soft limit of open descriptors (RLIMIT_NOFILE); Infinity where there is none. */
export function descriptorLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft)
}

/** The access a descriptor was opened for; undefined when it is not open. */
export function descriptorAccess(fd: number): 'read' | 'write' | 'both' | undefined {
  let info: string
  try {
    info = readFileSync(`/proc/self/fdinfo/${fd}`, 'utf8')
  } catch {
    return undefined
  }
  const mode = parseInt(/^flags:\s+([0-7]+)/m.exec(info)?.[1] ?? '0', 8) & O_ACCMODE
  return mode === O_RDWR ? 'both' : mode === O_WRONLY ? 'write' : 'read'
}

/**
 * Has a descriptor closed only if it still stands for the same open file: where it was handed to what may have closed it, its
 * number may be another's by then.
 * @returns does so
 */
export function closerOf(fd: number): () => void {
  const before = fstatSync(fd)
  return () => {
    try {
      if (isSameFile(fstatSync(fd), before)) closeSync(fd)
    } catch {
      // It is closed.
    }
  }
}

/** Whether this process itself holds the reading end of the FIFO that `fd` writes to. */
export function holdsReadingEnd(fd: number): boolean {
  const fifo = fstatSync(fd)
  return readdirSync('/proc/self/fd').some((name) => {
    const other = Number(name)
    if (other === fd) return false
    try {
      return isSameFile(fstatSync(other), fifo) && descriptorAccess(other) !== 'write'
    } catch {
      return false // It was the folder's own descriptor, closed by now.
    }
  })
}
