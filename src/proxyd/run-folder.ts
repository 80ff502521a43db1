import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { lockFolder } from '../linux/folder-lock.js'
import { requireLibc } from '../linux/libc.js'

/** Where launchers find a docker-proxyd. */
export interface RunFolder {
  /** The FIFO that launchers write to; open for both, so that it never ends. */
  readonly controlPath: string
  readonly control: number
  /** Has launchers find us from now on. */
  announce(): void
  /** Gives it back; the FIFO stays, since launchers have it open. */
  close(): void
}

const OWNER_ONLY = 0o600

/**
 * Takes a folder for this process alone.
 * @throws Error with a sentence for the user
 */
export function openRunFolder(folder: string): RunFolder {
  const unlock = lockFolder(folder, 'docker-proxyd', '--run-dir')
  // As /proc names it.
  const controlPath = join(realpathSync(folder), 'control')
  let control: number
  try {
    control = openFifo(controlPath)
  } catch (err) {
    unlock()
    throw new Error(`can't use ${controlPath}: ${errnoReason(err)}; remove it`, { cause: err })
  }
  const pidPath = join(folder, 'pid')
  return {
    controlPath,
    control,
    announce() {
      // At once and whole, since launchers may read it any time.
      writeFileSync(`${pidPath}.new`, `${process.pid} ${control}\n`, { mode: OWNER_ONLY })
      renameSync(`${pidPath}.new`, pidPath)
    },
    close() {
      rmSync(pidPath, { force: true })
      closeSync(control)
      unlock()
    },
  }
}

/** Opens the FIFO, or makes it: one that is there may hold what launchers have asked for meanwhile. */
function openFifo(path: string): number {
  try {
    requireLibc().makeFifo(path, OWNER_ONLY)
  } catch (err) {
    if (errnoCode(err) !== 'EEXIST') throw err
  }
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK)
  if (fstatSync(fd).isFIFO()) return fd
  closeSync(fd)
  throw new Error('it is no FIFO')
}
