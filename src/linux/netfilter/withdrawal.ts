import { errnoCode } from '../errno.js'
import { PERMIT } from './nat-rules.js'
import { hasChain, hasRules, remove, type Removal } from './nftables.js'

/**
 * Ends translations, before this returns.
 * @param table see NatTable
 * @param chains of publications. They stay, without rules.
 * @param failsChange whether nft may be making a change, which would bring the rules back: it fails then
 * @throws SystemError
 */
export function withdrawChains(
  table: string,
  chains: readonly string[],
  failsChange: boolean,
): void {
  try {
    remove(table, { ...(failsChange ? { chain: PERMIT } : {}), emptied: chains })
  } catch (err) {
    if (errnoCode(err) !== 'ENOENT') throw err
    // Another program has removed some of them, or nft has not made some of them yet.
    if (failsChange) removeIfThere(table, { chain: PERMIT, emptied: [] })
    for (const each of chains) removeIfThere(table, { emptied: [each] })
  }
}

/** A chain of a publication, in the table of its controller. */
export interface PublicationChain {
  readonly table: string
  readonly chain: string
}

/**
 * Ends the translations of a publication without its daemon, and the change that an nft of the daemon may still be making. All proxies of the
 * publication call this, and each change of a table takes time, so what is gone already is not removed again.
 * @throws SystemError
 */
export function withdrawForAll({ table, chain }: PublicationChain): void {
  if (hasRules(table, chain) || hasChain(table, PERMIT)) withdrawChains(table, [chain], true)
}

function removeIfThere(table: string, removal: Removal): void {
  try {
    remove(table, removal)
  } catch (err) {
    if (errnoCode(err) !== 'ENOENT') throw err
  }
}
