import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import type { FileId } from '../linux/descriptors.js'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { replaceFile } from '../linux/replace-file.js'
import { lockFolder, type FolderLock } from '../linux/folder-lock.js'
import { requireLibc } from '../linux/libc.js'

/** Where launchers find a docker-proxyd. */
export interface RunFolder {
  /** The FIFO that launchers write to; open for both, so that it never ends. */
  readonly control: number
  /** Which FIFO it is, however it is called elsewhere. */
  readonly controlId: FileId
  /** Where it tells what it serves, and hands it over. */
  readonly socketPath: string
  /** The descriptor that locks the folder. */
  readonly lock: number
  /** Has launchers find us from now on. */
  announce(): void
  /** The process that launchers find; undefined where there is none. */
  found(): number | undefined
  /**
   * Gives it back, but for what is another's by now; the FIFO stays, since launchers have it open. May be called again.
   */
  close(): void
}

const OWNER_ONLY = 0o600
const WRITABLE_BY_OTHERS = 0o022
const FOR_OTHERS = 0o077

/** Where a docker-proxyd of this folder answers. */
export function statusSocketOf(folder: string): string {
  return join(folder, 'socket')
}

/**
 * Takes a folder for this process alone.
 * @param option the one that names another folder
 * @param locked a descriptor that locks it already
 * @throws Error with a sentence for the user
 */
export function openRunFolder(folder: string, option: string, locked?: number): RunFolder {
  const lock: FolderLock =
    locked === undefined
      ? lockFolder(folder, 'docker-proxyd', option)
      : { fd: locked, unlock: () => closeSync(locked) }
  const reason = whyUnsafe(lock.fd, option)
  if (reason !== undefined) {
    lock.unlock()
    throw new Error(`can't use the folder ${folder}: ${reason}`)
  }
  const controlPath = join(folder, 'control')
  let control: number
  try {
    control = openFifo(controlPath)
  } catch (err) {
    lock.unlock()
    throw new Error(`can't use ${controlPath}: ${errnoReason(err)}`, { cause: err })
  }
  const pidPath = join(folder, 'pid')
  const socketPath = statusSocketOf(folder)
  let isClosed = false
  const announcement = `${process.pid} ${control}\n`
  const announced = (): string => {
    try {
      return readFileSync(pidPath, 'utf8')
    } catch {
      return ''
    }
  }
  const isOurs = (): boolean => announced() === announcement
  return {
    control,
    controlId: fstatSync(control),
    socketPath,
    lock: lock.fd,
    announce() {
      if (isOurs()) return
      try {
        // Launchers may read it any time.
        replaceFile(pidPath, announcement)
      } catch (err) {
        throw new Error(`can't write ${pidPath}: ${errnoReason(err)}`, { cause: err })
      }
    },
    found() {
      return Number(/^[1-9]\d*/.exec(announced())?.[0]) || undefined
    },
    close() {
      if (isClosed) return
      isClosed = true
      if (isOurs()) {
        rmSync(pidPath, { force: true })
        rmSync(socketPath, { force: true })
      }
      lock.unlock()
    },
  }
}

/** Who may write to the folder could take the ports of our launchers. */
function whyUnsafe(folder: number, option: string): string | undefined {
  const { uid, mode } = fstatSync(folder)
  if (uid !== process.geteuid?.()) {
    return `it belongs to user ${uid}, not to the one that runs this; name another with ${option}`
  }
  if ((mode & WRITABLE_BY_OTHERS) === 0) return undefined
  return `others may write to it; take that away with chmod go-w, or name another with ${option}`
}

/** Opens the FIFO, or makes it: one that is there may hold what launchers have asked for meanwhile. */
function openFifo(path: string): number {
  try {
    requireLibc().makeFifo(path, OWNER_ONLY)
  } catch (err) {
    if (errnoCode(err) !== 'EEXIST') throw err
  }
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const stats = fstatSync(fd)
  if (stats.isFIFO() && stats.uid === process.geteuid?.() && (stats.mode & FOR_OTHERS) === 0) {
    return fd
  }
  closeSync(fd)
  throw new Error(`${stats.isFIFO() ? 'others may use it' : 'it is no FIFO'}; remove it`)
}
