import { chmodSync, chownSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { OWNER_ONLY } from './file-modes.js'

export interface Rights {
  readonly mode?: number
  readonly owner?: readonly [uid: number, gid: number]
}

/**
 * Replaces a file, or creates it. Whatever happens, a reader finds the old or the new content, and it is complete.
 * @param rights by default only the owner has access
 * @throws the error of node:fs; the file is unchanged then
 */
export function replaceFile(path: string, text: string, { mode, owner }: Rights = {}): void {
  const fresh = `${path}.new`
  try {
    // A file that is already there, possibly a link, must not be written to.
    rmSync(fresh, { force: true })
    writeFileSync(fresh, text, { mode: OWNER_ONLY, flag: 'wx', flush: true })
    if (owner) chownSync(fresh, ...owner)
    if (mode !== undefined) chmodSync(fresh, mode)
    renameSync(fresh, path)
  } catch (err) {
    rmSync(fresh, { force: true })
    throw err
  }
}
