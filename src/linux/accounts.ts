import { readFileSync } from 'node:fs'

/* Users and groups of this machine, see passwd(5) and group(5). Directories such as LDAP are not asked. */

/** The number that stands for no user and no group, see setresuid(2). */
const NO_ID = 2 ** 32 - 1

/** A user's name, or the number if there is none. */
export function userName(uid: number): string {
  try {
    return find('/etc/passwd', ([, , id]) => id === String(uid))?.[0] ?? String(uid)
  } catch {
    return String(uid)
  }
}

/** A user to run as, and the user's group. */
export interface Account {
  readonly uid: number
  readonly gid: number
}

/**
 * Parses `USER` or `USER:GROUP`, each a name or a number. A number without an account has a group of the same number.
 * @returns undefined if there is no such user or group @throws Error if a file can't be read
 */
export function parseAccount(text: string): Account | undefined {
  const [, user = '', group] = /^([^:]+)(?::([^:]+))?$/.exec(text) ?? []
  if (user === '') return undefined
  const [, , id, ownGroup] =
    find('/etc/passwd', ([name, , each]) => user === name || user === each) ?? []
  const uid = id === undefined ? parseId(user) : Number(id)
  const gid =
    group === undefined
      ? ownGroup === undefined
        ? uid
        : Number(ownGroup)
      : (groupIdOf(group) ?? parseId(group))
  return uid === undefined || gid === undefined ? undefined : { uid, gid }
}

/** @returns undefined if it is not a number of a user or group */
function parseId(text: string): number | undefined {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : NaN
  return id < NO_ID ? id : undefined
}

/** The number of a group; undefined if there is none. @throws Error if the file can't be read */
export function groupIdOf(name: string): number | undefined {
  const id = find('/etc/group', ([each]) => each === name)?.[2]
  return id === undefined ? undefined : Number(id)
}

/** The fields of the first line that fits. */
function find(path: string, fits: (fields: string[]) => boolean): string[] | undefined {
  return readFileSync(path, 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(fits)
}
