import { isIpv6 } from '../sockets/ip-address.js'
import { FirewallError, runFirewall } from './command.js'
import { ForwardChain } from './forward-chain.js'
import { NatTable } from './nat-table.js'
import type { TranslatedPort } from './translated-port.js'

/** The table of the Docker Engine's nftables backend. It drops connections to containers that the Engine has not published. */
const ENGINE_TABLE = /^table ip docker-bridges$/m

/** The rules of one controller: a table of nftables that translates, and chains of iptables that let the translated connections through. */
export class Firewall {
  readonly #table: NatTable
  readonly #chains: readonly {
    readonly isFor: (ip: string) => boolean
    readonly chain: ForwardChain
  }[]
  #ports: readonly TranslatedPort[] = []

  /** @param name of the table, and in capitals of the chains */
  constructor(name: string) {
    const chainName = name.toUpperCase()
    this.#table = new NatTable(name)
    this.#chains = [
      { isFor: (ip) => !isIpv6(ip), chain: new ForwardChain('iptables', chainName) },
      { isFor: isIpv6, chain: new ForwardChain('ip6tables', chainName) },
    ]
  }

  /** Why no port can be translated on this host, one clause; undefined if it can. */
  async whyUseless(): Promise<string | undefined> {
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
   * Translates these ports, and no others.
   * @param exceptInterfaces see Translation
   * @param isRepair whether another program may have changed the rules
   * Rejects with FirewallError.
   */
  async apply(
    ports: readonly TranslatedPort[],
    exceptInterfaces: readonly string[],
    isRepair: boolean,
  ): Promise<void> {
    const [before, after] = [new Set(this.#ports), new Set(ports)]
    // A connection that is translated and not let through would wait for its next try.
    if (isRepair || ports.some((port) => !before.has(port))) {
      await this.#letThrough([...new Set([...this.#ports, ...ports])])
    }
    await this.#table.apply({ ports, exceptInterfaces })
    if (this.#ports.some((port) => !after.has(port))) await this.#letThrough(ports)
    this.#ports = ports
  }

  /** Removes all rules. The table is the last one: where it is, something may be left. Rejects with FirewallError. */
  async remove(): Promise<void> {
    await Promise.all(this.#chains.map(({ chain }) => chain.remove().catch(ignoreMissing)))
    await this.#table.remove()
    this.#ports = []
  }

  /** Removes the rules of an earlier process, if there are any. */
  async removeLeftovers(): Promise<void> {
    if (await this.#table.exists()) await this.remove()
  }

  /** Whether all rules are as they were applied. Rejects with FirewallError. */
  async isIntact(): Promise<boolean> {
    const intact = await Promise.all([
      this.#table.isIntact(),
      ...this.#chains
        .filter(({ isFor }) => this.#ports.some(({ ip }) => isFor(ip)))
        .map(({ chain }) => chain.isIntact()),
    ])
    return intact.every(Boolean)
  }

  async #letThrough(ports: readonly TranslatedPort[]): Promise<void> {
    for (const { isFor, chain } of this.#chains) {
      const own = ports.filter(({ ip }) => isFor(ip))
      if (own.length > 0) await chain.apply(own).catch(ignoreMissing)
      else if (this.#ports.some(({ ip }) => isFor(ip))) await chain.remove().catch(ignoreMissing)
    }
  }
}

/** A host without iptables has no rules of it that would drop connections. */
function ignoreMissing(err: unknown): void {
  if (!(err instanceof FirewallError && err.code === 'ENOENT')) throw err
}
