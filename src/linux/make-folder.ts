import { existsSync, mkdirSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoCode } from './errno.js'

/**
 * Makes a folder and its missing parents. mkdirSync with `recursive` never returns if a folder is refused with ENOENT although its parent
 * exists, for example in /proc.
 * @throws SystemError
 */
export function makeFolder(folder: string, mode: number): void {
  try {
    mkdirSync(folder, { mode })
  } catch (err) {
    const code = errnoCode(err)
    if (code === 'EEXIST') {
      if (statSync(folder).isDirectory()) return
      throw Object.assign(new Error(`not a directory: ${folder}`), { code: 'ENOTDIR' })
    }
    const above = dirname(folder)
    if (code !== 'ENOENT' || existsSync(above)) throw err
    makeFolder(above, mode)
    mkdirSync(folder, { mode })
  }
}
