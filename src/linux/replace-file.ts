import { chmodSync, chownSync, renameSync, rmSync, writeFileSync } from 'node:fs'

/** Until it has the rights that it is to have. */
const PRIVATE = 0o600

export interface Rights {
  readonly mode?: number
  readonly owner?: readonly [uid: number, gid: number]
}

/**
 * Puts a file in the place of another, or of none: whoever reads it finds the one or the other, whole, whatever happens.
 * @param rights left out, it is its owner's alone
 * @throws the error of node:fs; the file is as it was then
 */
export function replaceFile(path: string, text: string, { mode, owner }: Rights = {}): void {
  const fresh = `${path}.new`
  try {
    // What somebody has left there, a link perhaps, is not written to.
    rmSync(fresh, { force: true })
    writeFileSync(fresh, text, { mode: PRIVATE, flag: 'wx', flush: true })
    if (owner) chownSync(fresh, ...owner)
    if (mode !== undefined) chmodSync(fresh, mode)
    renameSync(fresh, path)
  } catch (err) {
    rmSync(fresh, { force: true })
    throw err
  }
}
