import { closeSync, openSync } from 'node:fs'
import { errnoReason } from './errno.js'
import { requireCheckedSyscalls } from './ffi/checked-syscalls.js'
import { makeFolder } from './make-folder.js'

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
 * @throws Error with a sentence for the user if another process has locked it, or it can't be used
 */
export function lockFolder(folder: string, owner: string, flag: string): FolderLock {
  let fd: number
  try {
    makeFolder(folder, 0o700)
    fd = openSync(folder, 'r')
  } catch (err) {
    throw new Error(
      `can't use the folder ${folder}: ${errnoReason(err)}; name another one with ${flag}`,
      {
        cause: err,
      },
    )
  }
  if (requireCheckedSyscalls().lockFile(fd)) return { fd, unlock: () => closeSync(fd) }
  closeSync(fd)
  throw new Error(`another ${owner} uses ${folder}: stop it, or name another folder with ${flag}`)
}
