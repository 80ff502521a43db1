import { closeSync, openSync } from 'node:fs'
import { errnoReason } from './errno.js'
import { requireLibc } from './libc.js'
import { makeFolder } from './make-folder.js'

/** A folder that is a process's alone. */
export interface FolderLock {
  /** The descriptor that holds it: who has a copy of it holds it as well. */
  readonly fd: number
  /** Gives it back. */
  unlock(): void
}

/**
 * Makes a folder this process's alone, until it ends or gives it back: it is the folder itself that is locked, so
 * nothing is left in it.
 *
 * @param owner who uses such a folder
 * @param flag the option that names another folder
 * @throws Error when another has it, or it can't be used
 */
export function lockFolder(folder: string, owner: string, flag: string): FolderLock {
  let fd: number
  try {
    makeFolder(folder, 0o700)
    fd = openSync(folder, 'r')
  } catch (err) {
    throw new Error(
      `can't use the folder ${folder}: ${errnoReason(err)}; name another with ${flag}`,
      {
        cause: err,
      },
    )
  }
  if (requireLibc().lock(fd)) return { fd, unlock: () => closeSync(fd) }
  closeSync(fd)
  throw new Error(`another ${owner} uses ${folder}: stop it, or name another folder with ${flag}`)
}
