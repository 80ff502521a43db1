import { groupIdOf } from '../linux/accounts.js'
import { UsageError } from './usage-error.js'

/**
 * The number of a group, from its name or its number. Source: group(5).
 * @throws UsageError if there is no such group
 */
export function groupId(group: string | undefined): number | undefined {
  if (group === undefined) return undefined
  if (/^\d+$/.test(group)) return Number(group)
  const id = groupIdOf(group)
  if (id !== undefined) return id
  throw new UsageError(
    `--group ${JSON.stringify(group)}: there is no such group; make it with groupadd, or give the name or number of another one`,
  )
}
