import { isIpv6 } from '../sockets/ip-address.js'
import { FirewallError, runFirewall } from './command.js'
import { ForwardChain } from './forward-chain.js'
import { NatTable } from './nat-table.js'
import { TableGuard } from './table-guard.js'
import type { TranslatedPort } from './translated-port.js'

/** The table of the Docker Engine's nftables backend. It drops connections to containers that the Engine has not published. */
const ENGINE_TABLE = /^table ip docker-bridges$/m

/** The chain of one address family. */
interface FamilyChain {
  readonly isFor: (ip: string) => boolean
  readonly chain: ForwardChain
  /** Whether the chain is there, or may be. */
  isThere: boolean
}

/**
 * The rules of one controller: a table of nftables that translates, and chains of iptables that let the translated connections through. The
 * table is the first one to be made and the last one to be removed: while the table exists, a chain may exist. When this process ends, a
 * guard ends all translations: nobody would remove the rule of a container that ends, whose address may go to another one.
 */
export class Firewall {
  readonly #table: NatTable
  readonly #guard: TableGuard
  readonly #chains: readonly FamilyChain[]
  /** The ports of the rules in place; undefined if they are not known. */
  #ports: readonly TranslatedPort[] | undefined = []

  /**
   * @param name of the table, and in capitals of the chains
   * @param onGuardFailure called when the guard does not run at present, with one clause
   */
  constructor(name: string, onGuardFailure: (reason: string) => void) {
    const chain = name.toUpperCase()
    this.#table = new NatTable(name)
    this.#guard = new TableGuard(this.#table.cleared, onGuardFailure)
    this.#chains = [
      { isFor: (ip) => !isIpv6(ip), chain: new ForwardChain('iptables', chain), isThere: false },
      { isFor: isIpv6, chain: new ForwardChain('ip6tables', chain), isThere: false },
    ]
  }

  /** Why no port can be translated on this host, one clause; undefined if it can. */
  async whyUnavailable(): Promise<string | undefined> {
    try {
      const tables = await runFirewall(['nft', 'list', 'tables'])
      return ENGINE_TABLE.test(tables)
        ? "the Docker Engine's nftables backend drops connections that it has not published itself"
        : undefined
    } catch (err) {
      return (err as Error).message
    }
  }

  /**
   * Looks for rules of an earlier process. The next change replaces them.
   * @returns whether there may be any
   * Rejects with FirewallError.
   */
  async adopt(): Promise<boolean> {
    await this.#guard.untilOthersEnded()
    if (!(await this.#table.exists())) return false
    this.#ports = undefined
    for (const each of this.#chains) each.isThere = true
    return true
  }

  /**
   * Translates these ports of publications, and no others.
   * @param exceptInterfaces see Translation
   * @param isRepair whether another program may have changed the rules
   * Rejects with FirewallError. Withdrawn ports are not translated then, unless nft itself has failed. Rejects with ESUPERSEDED if `withdraw`
   * is called for one of the publications meanwhile.
   */
  async apply(
    publications: ReadonlyMap<string, readonly TranslatedPort[]>,
    exceptInterfaces: readonly string[],
    isRepair: boolean,
  ): Promise<void> {
    this.#table.beginChange()
    const ports = [...publications.values()].flat()
    const [before, after] = [new Set(this.#ports ?? ports), new Set(ports)]
    const kept = ports.filter((port) => before.has(port))
    const keptPublications = new Map(
      [...publications].map(([name, own]) => [name, own.filter((port) => before.has(port))]),
    )
    const hasGone = [...before].some((port) => !after.has(port))
    this.#guard.start()
    const isNew = isRepair || this.#ports === undefined || kept.length < ports.length
    this.#ports = undefined
    // Ports that have gone do not wait for iptables: another container may soon have the address behind them.
    await this.#table.apply({ publications: keptPublications, exceptInterfaces })
    // A connection that is translated and not let through would wait for its next try.
    if (hasGone || isNew) await this.#acceptConnections(ports)
    if (kept.length < ports.length) {
      await this.#table.apply({ publications, exceptInterfaces })
    }
    this.#ports = ports
  }

  /** Ends the translation of the ports of publications, before this returns. @throws SystemError */
  withdraw(publications: readonly string[]): void {
    this.#table.withdraw(publications)
  }

  /** Removes all rules. Rejects with FirewallError. No port is translated then, unless nft itself has failed. */
  async remove(): Promise<void> {
    await this.#translateNothing()
    await this.#acceptConnections([])
    await this.#table.remove()
    this.#guard.stop()
    this.#ports = []
  }

  /** Ends all translations, but keeps what else the next process needs. Connections that are translated continue. Rejects with FirewallError. */
  async suspend(): Promise<void> {
    await this.#translateNothing()
    this.#guard.stop()
    this.#ports = []
  }

  /** Whether all rules are as they were applied. Rejects with FirewallError. */
  async isIntact(): Promise<boolean> {
    const intact = await Promise.all([
      this.#table.isIntact(),
      ...this.#chains.filter(({ isThere }) => isThere).map(({ chain }) => chain.isIntact()),
    ])
    return intact.every(Boolean)
  }

  async #translateNothing(): Promise<void> {
    await this.#table.apply({ publications: new Map(), exceptInterfaces: [] })
  }

  async #acceptConnections(ports: readonly TranslatedPort[]): Promise<void> {
    for (const each of this.#chains) {
      const own = ports.filter(({ ip }) => each.isFor(ip))
      if (own.length === 0 && !each.isThere) continue
      try {
        if (own.length > 0) await each.chain.apply(own)
        else await each.chain.remove()
        each.isThere = own.length > 0
      } catch (err) {
        // A host without iptables has no rules of it that would drop connections.
        if (!(err instanceof FirewallError && err.code === 'EMISSING')) throw err
        each.isThere = false
      }
    }
  }
}
