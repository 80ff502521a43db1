import { accessSync, closeSync, constants, fstatSync, openSync } from 'node:fs'
import { errnoReason } from './errno.js'
import { requireCheckedSyscalls } from './ffi/checked-syscalls.js'
import { makeFolder } from './make-folder.js'

const WRITABLE_BY_OTHERS = 0o022

/** Another process uses the folder. The message is a sentence for the user. */
export class FolderInUseError extends Error {
  override readonly name = 'FolderInUseError'
}

/** A folder that only this process uses. */
export interface FolderLock {
  /** The descriptor that holds the lock. A process with a copy of it holds the lock as well. */
  readonly fd: number
  /** Releases the lock. */
  unlock(): void
}

/**
 * Locks a folder for this process, until it ends or unlocks it. The folder itself is locked, so no lock file is left behind.
 *
 * @param owner the kind of process that uses such a folder, for the error message
 * @param flag the command-line option that names another folder
 * @throws FolderInUseError; Error with a sentence for the user if it can't be used, or other users could replace its files
 */
export function lockFolder(folder: string, owner: string, flag: string): FolderLock {
  let fd: number
  try {
    makeFolder(folder, 0o700)
    // A folder that can't be written to, for example on a read-only disk, is reported now and not with the first publication.
    accessSync(folder, constants.W_OK)
    fd = openSync(folder, 'r')
  } catch (err) {
    throw new Error(
      `can't use the folder ${folder}: ${errnoReason(err)}; name another one with ${flag}`,
      {
        cause: err,
      },
    )
  }
  try {
    const reason = whyUnsafe(fd, flag)
    if (reason !== undefined) throw new Error(`can't use the folder ${folder}: ${reason}`)
    if (requireCheckedSyscalls().lockFile(fd)) return { fd, unlock: () => closeSync(fd) }
    throw new FolderInUseError(
      `another ${owner} uses ${folder}: stop it, or name another folder with ${flag}`,
    )
  } catch (err) {
    closeSync(fd)
    throw err
  }
}

/** Users who can write to the folder could replace files in it by links, and have this process overwrite the files behind them. */
function whyUnsafe(folder: number, flag: string): string | undefined {
  const { uid, mode } = fstatSync(folder)
  if (uid !== process.geteuid?.()) {
    return `it belongs to user ${uid}, not to the user that runs this; name another one with ${flag}`
  }
  if ((mode & WRITABLE_BY_OTHERS) === 0) return undefined
  return `other users can write to it; prevent that with chmod go-w, or name another one with ${flag}`
}
