import { becomeUser, forbidNewPrivileges } from '../linux/proc/privileges.js'
import type { Account } from '../linux/accounts.js'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import { SettingError, USER_VARIABLE } from '../proxy/settings.js'
import { CHAIN_VARIABLE } from './own-translation.js'

/**
 * Gives up the rights that a process with bound ports does not need.
 * @param user undefined to stay the present one
 * @throws SettingError if it can't become the user
 */
export function giveUpRights(user: Account | undefined, log: Log): void {
  try {
    forbidNewPrivileges()
  } catch (err) {
    log.debug(`Can't forbid new privileges: ${errnoReason(err)}`)
  }
  if (!user || (user.uid === process.geteuid?.() && user.gid === process.getegid?.())) return
  try {
    // To remove rules of the firewall.
    becomeUser(user, CHAIN_VARIABLE in process.env ? ['NET_ADMIN'] : [])
  } catch (err) {
    throw new SettingError(`${USER_VARIABLE}: ${errnoReason(err)}`)
  }
}
