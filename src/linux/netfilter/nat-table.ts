import { errnoReason } from '../errno.js'
import { FirewallError, runFirewall } from './command.js'
import { chainOf, formatTable, PERMIT, type Translation } from './nat-rules.js'
import { ensureChain, hasChain } from './nftables.js'
import { withdrawChains } from './withdrawal.js'

const NO_TRANSLATION: Translation = { publications: new Map(), exceptInterfaces: [] }

/** A table of nftables that translates addresses of connections from outside, as the Docker Engine's rules do for its own ports. */
export class NatTable {
  readonly #name: string
  readonly #id: string
  /** The table as nft lists it. */
  #applied: string | undefined
  /** The publications that have a chain. */
  #chains: ReadonlySet<string> = new Set()
  /** What nft is putting in place. */
  #underWay: Translation['publications'] | undefined
  /** The publications that were withdrawn since the change began. */
  readonly #withdrawn = new Set<string>()

  /** @param name of the table, which belongs to us alone */
  constructor(name: string) {
    this.#name = name
    this.#id = `inet ${name}`
  }

  /** From now on, `apply` refuses publications that were withdrawn since. The translations that it gets are made now, or later. */
  beginChange(): void {
    this.#withdrawn.clear()
  }

  /**
   * Puts the table in place at once, instead of an earlier one.
   * Rejects with FirewallError; with ESUPERSEDED if one of the publications was withdrawn since `beginChange`.
   */
  async apply({ publications, exceptInterfaces }: Translation): Promise<void> {
    const table = formatTable(this.#id, { publications, exceptInterfaces })
    this.#applied = undefined
    this.#refuseWithdrawn(publications)
    const commands = `delete chain ${this.#id} ${PERMIT}\n${this.#emptied}\n${table}`
    let isPermitted = false
    try {
      ensureChain(this.#name, PERMIT)
      isPermitted = true
      this.#underWay = publications
      await runFirewall(['nft', '-f', '-'], commands)
      this.#chains = new Set(publications.keys())
    } catch (err) {
      this.#refuseWithdrawn(publications)
      if (isPermitted && this.#wasStopped()) {
        throw new FirewallError('ESUPERSEDED', 'a proxy has withdrawn a publication meanwhile')
      }
      if (err instanceof FirewallError) throw err
      throw new FirewallError('EFAILED', `can't change nftables: ${errnoReason(err)}`)
    } finally {
      this.#underWay = undefined
    }
    const applied = await this.#list()
    this.#refuseWithdrawn(publications)
    if (applied === undefined) {
      throw new FirewallError(
        'EFAILED',
        'another program has removed the table of nftables at once',
      )
    }
    this.#applied = applied
  }

  /**
   * Ends the translation of the ports of publications, before this returns. A change that is under way does not bring it back.
   * @throws SystemError
   */
  withdraw(publications: readonly string[]): void {
    this.#applied = undefined
    for (const each of publications) this.#withdrawn.add(each)
    const underWay = publications.filter((each) => this.#underWay?.has(each))
    const emptied = publications
      .filter((each) => this.#chains.has(each) || underWay.includes(each))
      .map(chainOf)
    if (emptied.length > 0) withdrawChains(this.#name, emptied, underWay.length > 0)
  }

  /** Removes the table, if it is there. Rejects with FirewallError. */
  async remove(): Promise<void> {
    this.#applied = undefined
    await runFirewall(['nft', '-f', '-'], this.#emptied)
  }

  /** Whether the table is as it was applied. Rejects with FirewallError. */
  async isIntact(): Promise<boolean> {
    return this.#applied !== undefined && this.#applied === (await this.#list())
  }

  /** Whether there is such a table, for example of an earlier process. Rejects with FirewallError. */
  async exists(): Promise<boolean> {
    return (await this.#list()) !== undefined
  }

  /**
   * Commands of nft, one transaction, after which no new connection is translated. The kernel translates open connections only while there is
   * a chain of this type. The table is also a sign that a chain of iptables may exist.
   */
  get cleared(): string {
    return `${this.#emptied}\n${formatTable(this.#id, NO_TRANSLATION)}`
  }

  /** A table can be deleted only if it is there. Both commands are one transaction. */
  get #emptied(): string {
    return `add table ${this.#id}\ndelete table ${this.#id}`
  }

  #refuseWithdrawn(publications: Translation['publications']): void {
    for (const each of this.#withdrawn) {
      if (!publications.has(each)) continue
      throw new FirewallError('ESUPERSEDED', `a container of ${each} has ended meanwhile`)
    }
  }

  /** Whether another process has removed the chain without which no change is made. */
  #wasStopped(): boolean {
    try {
      return !hasChain(this.#name, PERMIT)
    } catch {
      return false
    }
  }

  /** @returns undefined if there is no such table */
  async #list(): Promise<string | undefined> {
    try {
      return await runFirewall(['nft', 'list', 'table', ...this.#id.split(' ')])
    } catch (err) {
      // nft has the same exit code for all faults.
      if ((err as Error).message.includes('No such file or directory')) return undefined
      throw err
    }
  }
}
