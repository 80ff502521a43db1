import { readFileSync } from 'node:fs'
import { UsageError } from './usage-error.js'

/**
 * The number of a group, from its name or its number. Source: group(5).
 * @throws UsageError if there is no such group
 */
export function groupId(group: string | undefined): number | undefined {
  if (group === undefined) return undefined
  if (/^\d+$/.test(group)) return Number(group)
  const line = readFileSync('/etc/group', 'utf8')
    .split('\n')
    .find((each) => each.split(':')[0] === group)
  const id = line?.split(':')[2]
  if (id !== undefined) return Number(id)
  throw new UsageError(
    `--group ${JSON.stringify(group)}: there is no such group; make it with groupadd, or give the name or number of another one`,
  )
}
