import { closeSync, mkdirSync, openSync } from 'node:fs'
import { errnoReason } from './errno.js'
import { requireLibc } from './libc.js'

/**
 * Makes a folder this process's alone, until it ends or gives it back: it is the folder itself that is locked, so
 * nothing is left in it.
 *
 * @param owner who uses such a folder
 * @param flag the option that names another folder
 * @returns gives it back
 * @throws Error when another has it, or it can't be used
 */
export function lockFolder(folder: string, owner: string, flag: string): () => void {
  let fd: number
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    fd = openSync(folder, 'r')
  } catch (err) {
    throw new Error(
      `can't use the folder ${folder}: ${errnoReason(err)}; name another with ${flag}`,
      {
        cause: err,
      },
    )
  }
  if (requireLibc().lock(fd)) return () => closeSync(fd)
  closeSync(fd)
  throw new Error(`another ${owner} uses ${folder}: stop it, or name another folder with ${flag}`)
}
