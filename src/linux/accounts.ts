import { readFileSync } from 'node:fs'

/* Users and groups of this machine, see passwd(5) and group(5). Directories such as LDAP are not asked. */

/** A user's name, or the number if there is none. */
export function userName(uid: number): string {
  try {
    return find('/etc/passwd', ([, , id]) => id === String(uid))?.[0] ?? String(uid)
  } catch {
    return String(uid)
  }
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
