import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from 'node:fs'
import { join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import { ANY_ACCESS_FOR_OTHERS, OWNER_ONLY } from '../linux/file-modes.js'
import { lockFolder, type FolderLock } from '../linux/folder-lock.js'
import type { FileId } from '../linux/proc/descriptors.js'
import { replaceFile } from '../linux/replace-file.js'

/** The name of the control pipe in a run folder. */
export const CONTROL_NAME = 'control'
/** The name of the file with the pid of the docker-proxyd that serves the folder. */
const PID_NAME = 'pid'
/** The name of the file by which launchers find that process: its pid, its descriptor of the control pipe, and how it was started. */
const SERVER_NAME = 'server'
/** In that file: launchers have started it, and it makes way for one that somebody else starts. */
const ON_DEMAND = 'on-demand'
/** The launcher that makes the file `after.PID` starts the next docker-proxyd after that one has ended. */
const ELECTION_NAME = /^after\.\d+$/
/** The name of the status socket. */
const SOCKET_NAME = 'socket'

/** The path of the status socket in a run folder. */
export function statusSocketPath(folder: string): string {
  return join(folder, SOCKET_NAME)
}

/** The docker-proxyd that launchers find in a run folder. */
interface Server {
  readonly pid: number
  /** Whether launchers have started it. */
  readonly isOnDemand: boolean
}

/** @returns undefined if there is none; the file may be a leftover */
export function announcedServer(folder: string): Server | undefined {
  const [pid, , mode] = read(join(folder, SERVER_NAME)).trim().split(' ')
  return pid ? { pid: Number(pid), isOnDemand: mode === ON_DEMAND } : undefined
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
  readonly #serverPath: string
  readonly #announcement: string
  readonly #pidText = `${process.pid}\n`
  readonly #lock: FolderLock
  #isClosed = false

  private constructor(
    private readonly folder: string,
    lock: FolderLock,
    control: number,
    isOnDemand: boolean,
  ) {
    this.control = control
    this.controlId = fstatSync(control)
    this.socketPath = statusSocketPath(folder)
    this.#pidPath = join(folder, PID_NAME)
    this.#serverPath = join(folder, SERVER_NAME)
    this.#announcement = `${process.pid} ${control}${isOnDemand ? ` ${ON_DEMAND}` : ''}\n`
    this.#lock = lock
  }

  /**
   * Takes a folder for this process alone.
   * @param option the command-line option that names another folder
   * @param isOnDemand whether launchers have started this process
   * @param lockFd a descriptor that already locks the folder
   * @throws FolderInUseError; Error with a sentence for the user
   */
  static open(folder: string, option: string, isOnDemand: boolean, lockFd?: number): RunFolder {
    const lock: FolderLock =
      lockFd === undefined
        ? lockFolder(folder, 'docker-proxyd', option)
        : { fd: lockFd, unlock: () => closeSync(lockFd) }
    try {
      const control = openControlPipe(join(folder, CONTROL_NAME))
      return new RunFolder(folder, lock, control, isOnDemand)
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
    // Replaced as a whole, because others may read them at any time.
    write(this.#pidPath, this.#pidText)
    write(this.#serverPath, this.#announcement)
    // Only now: a launcher that finds neither a docker-proxyd nor the file would start another one.
    this.#removeElections()
  }

  /** The process that launchers find; undefined if there is none. */
  announcedPid(): number | undefined {
    return announcedServer(this.folder)?.pid
  }

  /** Gives the folder back. Files of a successor stay, and so does the FIFO, which launchers have open. May be called again. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    if (this.#isAnnounced) {
      rmSync(this.#serverPath, { force: true })
      rmSync(this.socketPath, { force: true })
    }
    if (read(this.#pidPath) === this.#pidText) rmSync(this.#pidPath, { force: true })
    this.#lock.unlock()
  }

  /** The pid of a docker-proxyd may belong to another one later. */
  #removeElections(): void {
    for (const name of readdirSync(this.folder)) {
      if (ELECTION_NAME.test(name)) rmSync(join(this.folder, name), { force: true })
    }
  }

  get #isAnnounced(): boolean {
    return read(this.#serverPath) === this.#announcement
  }
}

/** The content of a file; empty if it can't be read. */
function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return ''
  }
}

/** @throws Error with a sentence for the user */
function write(path: string, text: string): void {
  try {
    replaceFile(path, text)
  } catch (err) {
    throw new Error(`can't write ${path}: ${errnoReason(err)}`, { cause: err })
  }
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
