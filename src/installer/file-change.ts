import { createTwoFilesPatch } from 'diff'
import { existsSync, mkdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { replaceFile } from '../linux/replace-file.js'

/** A file as it is and as it is to be; undefined where there is none, or is to be none. */
export interface FileChange {
  readonly path: string
  readonly before: string | undefined
  readonly after: string | undefined
  /** Told in place of the difference. */
  readonly note?: string
  /** Whose rights it gets where it is new. */
  readonly like?: string
}

const READABLE = 0o644
const NOTHING = '/dev/null'

export function isChange({ before, after }: FileChange): boolean {
  return before !== after
}

/** The difference as `diff -u` writes it. */
export function formatChange({ path, before, after, note }: FileChange): string {
  if (note !== undefined) return `${path}: ${note}`
  const [from, to] = [before, after].map((text) => (text === undefined ? NOTHING : path))
  const patch = createTwoFilesPatch(from ?? '', to ?? '', before ?? '', after ?? '', '', '')
  return patch.replace(/^(Index: .*\n)?=+\n/, '').trimEnd()
}

/**
 * Makes the change: the file is as it was or as it is to be, whatever happens, with the rights that it had.
 * @throws Error with a sentence for the user
 */
export function applyChange({ path, after, like }: FileChange): void {
  try {
    if (after === undefined) return rmSync(path, { force: true })
    const { target, mode, owner } = existing(path, like)
    // dockerd makes its own folder when it first starts; more than that one is missing where a path is misspelt.
    if (!existsSync(dirname(target))) mkdirSync(dirname(target))
    replaceFile(target, after, { mode, ...(owner ? { owner } : {}) })
  } catch (err) {
    throw new Error(`can't write ${path}: ${errnoReason(err)}`, { cause: err })
  }
}

interface Existing {
  readonly target: string
  readonly mode: number
  readonly owner?: readonly [uid: number, gid: number]
}

/** What a link leads to is written, and the link stays. */
function existing(path: string, like: string | undefined): Existing {
  try {
    const target = realpathSync(path)
    const { mode, uid, gid } = statSync(target)
    return { target, mode: mode & 0o7777, owner: [uid, gid] }
  } catch (err) {
    if (errnoCode(err) !== 'ENOENT') throw err
    return like === undefined
      ? { target: path, mode: READABLE }
      : { ...existing(like, undefined), target: path }
  }
}
