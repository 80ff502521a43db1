import { closeSync, constants, fstatSync, openSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import { lockFolder, type FolderLock } from '../linux/folder-lock.js'
import type { FileId } from '../linux/proc/descriptors.js'
import { replaceFile } from '../linux/replace-file.js'

/** The name of the control pipe in a run folder. */
export const CONTROL_NAME = 'control'
/** The name of the file with the process that launchers find. */
const PID_NAME = 'pid'
/** The name of the status socket. */
const SOCKET_NAME = 'socket'

const OWNER_ONLY = 0o600
const WRITABLE_BY_OTHERS = 0o022
const ANY_ACCESS_FOR_OTHERS = 0o077

/** The path of the status socket in a run folder. */
export function statusSocketPath(folder: string): string {
  return join(folder, SOCKET_NAME)
}

/** The folder in which launchers find a docker-proxyd. */
export class RunFolder {
  /** The FIFO that launchers write to, open for reading and writing so that it never ends. */
  readonly control: number
  /** Identifies the FIFO, whatever its path is elsewhere. */
  readonly controlId: FileId
  /** Where docker-proxyd reports its ports, and hands them over. */
  readonly socketPath: string
  readonly #pidPath: string
  readonly #announcement: string
  readonly #lock: FolderLock
  #isClosed = false

  private constructor(folder: string, lock: FolderLock, control: number) {
    this.control = control
    this.controlId = fstatSync(control)
    this.socketPath = statusSocketPath(folder)
    this.#pidPath = join(folder, PID_NAME)
    this.#announcement = `${process.pid} ${control}\n`
    this.#lock = lock
  }

  /**
   * Takes a folder for this process alone.
   * @param option the command-line option that names another folder
   * @param lockFd a descriptor that already locks the folder
   * @throws Error with a sentence for the user
   */
  static open(folder: string, option: string, lockFd?: number): RunFolder {
    const lock: FolderLock =
      lockFd === undefined
        ? lockFolder(folder, 'docker-proxyd', option)
        : { fd: lockFd, unlock: () => closeSync(lockFd) }
    try {
      const reason = whyUnsafe(lock.fd, option)
      if (reason !== undefined) throw new Error(`can't use the folder ${folder}: ${reason}`)
      return new RunFolder(folder, lock, openControlPipe(join(folder, CONTROL_NAME)))
    } catch (err) {
      lock.unlock()
      throw err
    }
  }

  /** The descriptor that locks the folder. */
  get lock(): number {
    return this.#lock.fd
  }

  /** Makes launchers find this process from now on. @throws Error with a sentence for the user */
  announce(): void {
    if (this.#isAnnounced) return
    try {
      // Replaced as a whole, because launchers may read it at any time.
      replaceFile(this.#pidPath, this.#announcement)
    } catch (err) {
      throw new Error(`can't write ${this.#pidPath}: ${errnoReason(err)}`, { cause: err })
    }
  }

  /** The process that launchers find; undefined if there is none. */
  announcedPid(): number | undefined {
    return Number(/^[1-9]\d*/.exec(this.#readAnnouncement())?.[0]) || undefined
  }

  /** Gives the folder back. Files of a successor stay, and so does the FIFO, which launchers have open. May be called again. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#isAnnounced) {
      rmSync(this.#pidPath, { force: true })
      rmSync(this.socketPath, { force: true })
    }
    this.#lock.unlock()
  }

  get #isAnnounced(): boolean {
    return this.#readAnnouncement() === this.#announcement
  }

  #readAnnouncement(): string {
    try {
      return readFileSync(this.#pidPath, 'utf8')
    } catch {
      return ''
    }
  }
}

/** Users who can write to the folder could take the ports of our launchers. */
function whyUnsafe(folder: number, option: string): string | undefined {
  const { uid, mode } = fstatSync(folder)
  if (uid !== process.geteuid?.()) {
    return `it belongs to user ${uid}, not to the user that runs this; name another one with ${option}`
  }
  if ((mode & WRITABLE_BY_OTHERS) === 0) return undefined
  return `other users can write to it; prevent that with chmod go-w, or name another one with ${option}`
}

/** Opens the FIFO, or makes it. An existing one may hold requests of waiting launchers. @throws Error with a sentence for the user */
function openControlPipe(path: string): number {
  try {
    return openFifo(path)
  } catch (err) {
    throw new Error(`can't use ${path}: ${errnoReason(err)}`, { cause: err })
  }
}

function openFifo(path: string): number {
  try {
    requireCheckedSyscalls().makeFifo(path, OWNER_ONLY)
  } catch (err) {
    if (errnoCode(err) !== 'EEXIST') throw err
  }
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  const stats = fstatSync(fd)
  const isPrivate = stats.uid === process.geteuid?.() && (stats.mode & ANY_ACCESS_FOR_OTHERS) === 0
  if (stats.isFIFO() && isPrivate) return fd
  closeSync(fd)
  throw new Error(`${stats.isFIFO() ? 'other users can access it' : 'it is not a FIFO'}; remove it`)
}
