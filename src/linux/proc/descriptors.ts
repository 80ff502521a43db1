import { closeSync, fstatSync, readdirSync, readFileSync } from 'node:fs'

/*
 * Descriptors by /proc.
 * Source: proc(5), `/proc/PID/fd`, `/proc/self/fdinfo` and `/proc/self/limits`.
 */

const O_ACCMODE = 0o3
const O_WRONLY = 0o1
const O_RDWR = 0o2

/** Identifies a file independently of its path, see inode(7). */
export interface FileId {
  readonly dev: number
  readonly ino: number
}

export function isSameFile(one: FileId, other: FileId): boolean {
  return one.dev === other.dev && one.ino === other.ino
}

/** The path of a file that the process has open. Opening it opens the same file again. */
export function descriptorPath(pid: number | 'self', fd: number): string {
  return `/proc/${pid}/fd/${fd}`
}

/** How many descriptors this process has open now. */
export function countOpenDescriptors(): number {
  // While the folder is read, its own descriptor is in the list.
  return readdirSync('/proc/self/fd').length - 1
}

/** The soft limit of open descriptors, RLIMIT_NOFILE; Infinity if there is none. */
export function descriptorLimit(): number {
  const soft = /^Max open files\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]
  return soft === undefined || soft === 'unlimited' ? Infinity : Number(soft)
}

/** The access that a descriptor was opened for; undefined if it is not open. */
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
 * Prepares closing a descriptor that other code may close: by then its number may belong to another file.
 * @returns a function that closes the descriptor if it still refers to the same file
 */
export function descriptorCloser(fd: number): () => void {
  const before = fstatSync(fd)
  return () => {
    try {
      if (isSameFile(fstatSync(fd), before)) closeSync(fd)
    } catch {
      // It is closed already.
    }
  }
}

/** Whether this process itself has the reading end of the FIFO that `fd` writes to. */
export function holdsReadingEnd(fd: number): boolean {
  const fifo = fstatSync(fd)
  return readdirSync('/proc/self/fd').some((name) => {
    const other = Number(name)
    if (other === fd) return false
    try {
      return isSameFile(fstatSync(other), fifo) && descriptorAccess(other) !== 'write'
    } catch {
      return false // It was the descriptor of the folder, which is closed now.
    }
  })
}
