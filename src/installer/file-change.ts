import { createTwoFilesPatch } from 'diff'
import { existsSync, mkdirSync, realpathSync, rmSync, statSync } from 'node:fs'
import { dirname } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { replaceFile } from '../linux/replace-file.js'

/** A change of a file: its text before and after; undefined for no file. */
export interface FileChange {
  readonly path: string
  readonly before: string | undefined
  readonly after: string | undefined
  /** Shown instead of the difference. */
  readonly note?: string
  /** A new file gets the rights of this file. */
  readonly like?: string
}

const READABLE = 0o644
const NOTHING = '/dev/null'

export function isChange({ before, after }: FileChange): boolean {
  return before !== after
}

/** Formats the difference as `diff -u` does. */
export function formatChange({ path, before, after, note }: FileChange): string {
  if (note !== undefined) return `${path}: ${note}`
  const [from, to] = [before, after].map((text) => (text === undefined ? NOTHING : path))
  const patch = createTwoFilesPatch(from ?? '', to ?? '', before ?? '', after ?? '', '', '')
  return patch.replace(/^(Index: .*\n)?=+\n/, '').trimEnd()
}

/**
 * Makes the change. Whatever happens, the file has the old or the new text. It keeps its rights.
 * @throws Error with a sentence for the user
 */
export function applyChange({ path, after, like }: FileChange): void {
  try {
    if (after === undefined) return rmSync(path, { force: true })
    const { target, mode, owner } = existing(path, like)
    // dockerd makes its own folder at its first start. If more than this folder is missing, the path is misspelt.
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

/** For a link, the target is written, and the link stays. */
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
