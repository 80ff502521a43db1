import { errnoReason } from '../errno.js'
import { isIpv6, isWildcard } from '../sockets/ip-address.js'
import { FirewallError, runFirewall } from './command.js'
import { emptyChain, ensureChain, removeChain } from './nftables.js'
import type { TranslatedPort } from './translated-port.js'

/** Before the rules of the Docker Engine and of others, whose priority is dstnat, -100. See nft(8). */
const PRIORITY = -101
/** An empty chain. Whoever withdraws ports removes it, and nft fails without it: what it puts in place may be outdated. */
const PERMIT = 'permit'

/** The content of a table. */
export interface Translation {
  /** The ports of each publication, by its name. */
  readonly publications: ReadonlyMap<string, readonly TranslatedPort[]>
  /** Interfaces of containers: their packets are not translated, because the replies would not come back through this host. */
  readonly exceptInterfaces: readonly string[]
}

/** A table of nftables that translates addresses of connections from outside, as the Docker Engine's rules do for its own ports. */
export class NatTable {
  readonly #name: string
  readonly #id: string
  /** The table as nft lists it. */
  #applied: string | undefined
  #withdrawals = 0

  /** @param name of the table, which belongs to us alone */
  constructor(name: string) {
    this.#name = name
    this.#id = `inet ${name}`
  }

  /** The number of withdrawals so far. */
  get withdrawals(): number {
    return this.#withdrawals
  }

  /**
   * Puts the table in place at once, instead of an earlier one.
   * @param withdrawals as they were when the translation was made
   * Rejects with FirewallError; with ESUPERSEDED, and without a change, after another withdrawal.
   */
  async apply(translation: Translation, withdrawals: number): Promise<void> {
    const table = formatTable(this.#id, translation)
    this.#applied = undefined
    this.#refuseSuperseded(withdrawals)
    try {
      ensureChain(this.#name, PERMIT)
    } catch (err) {
      throw new FirewallError('EFAILED', `can't change nftables: ${errnoReason(err)}`)
    }
    try {
      await runFirewall(
        ['nft', '-f', '-'],
        `delete chain ${this.#id} ${PERMIT}\n${this.#emptied}\n${table}`,
      )
    } catch (err) {
      this.#refuseSuperseded(withdrawals)
      throw err
    }
    const applied = await this.#list()
    if (applied === undefined) {
      throw new FirewallError(
        'EFAILED',
        'another program has removed the table of nftables at once',
      )
    }
    if (withdrawals === this.#withdrawals) this.#applied = applied
  }

  /**
   * Ends the translation of a publication's ports, before this returns. A change that is being made does not bring it back.
   * @throws SystemError
   */
  withdraw(publication: string): void {
    this.#withdrawals++
    this.#applied = undefined
    removeChain(this.#name, PERMIT)
    emptyChain(this.#name, chainOf(publication))
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

  /** Commands of nft, one transaction, after which nothing is translated. The table stays as a sign that a chain may exist. */
  get cleared(): string {
    return `${this.#emptied}\nadd table ${this.#id}`
  }

  /** A table can be deleted only if it is there. Both commands are one transaction. */
  get #emptied(): string {
    return `add table ${this.#id}\ndelete table ${this.#id}`
  }

  #refuseSuperseded(withdrawals: number): void {
    if (withdrawals === this.#withdrawals) return
    throw new FirewallError('ESUPERSEDED', 'a container has ended meanwhile')
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

/** A port, and the chain of its publication. */
interface ChainedPort extends TranslatedPort {
  readonly chain: string
}

/** Each publication has a chain, and the first rules lead to them. Thousands of ports are one map, because each rule costs time for each new connection. */
function formatTable(id: string, { publications, exceptInterfaces }: Translation): string {
  const own = [...publications].map(([name, ports]) => ({ chain: chainOf(name), ports }))
  const chains = own.map(({ chain, ports }) =>
    formatChain(chain, forEachKind(ports, formatTranslations)),
  )
  const all = own.flatMap(({ chain, ports }) => ports.map((port) => ({ ...port, chain })))
  const prerouting = [
    `type nat hook prerouting priority ${PRIORITY}; policy accept;`,
    ...(exceptInterfaces.length > 0
      ? [`iifname { ${exceptInterfaces.map((name) => JSON.stringify(name)).join(', ')} } return`]
      : []),
    ...forEachKind(all, formatJumps),
  ]
  return `table ${id} {
${[formatChain(PERMIT, []), ...chains, formatChain('prerouting', prerouting)].join('')}}
`
}

/** The name cannot be a word of nft. */
function chainOf(publication: string): string {
  return `publication-${publication}`
}

function formatChain(name: string, rules: readonly string[]): string {
  return `  chain ${name} {\n${rules.map((rule) => `    ${rule}\n`).join('')}  }\n`
}

/** Ports of one protocol and family. */
interface PortKind<T extends TranslatedPort> {
  readonly protocol: 'tcp' | 'udp'
  /** The family in the words of nft. */
  readonly family: 'ip' | 'ip6'
  /** Matches packets to any address of this host. */
  readonly toHost: string
  readonly ports: readonly T[]
}

function forEachKind<T extends TranslatedPort>(
  ports: readonly T[],
  format: (kind: PortKind<T>) => readonly string[],
): string[] {
  return (['ip', 'ip6'] as const).flatMap((family) =>
    (['tcp', 'udp'] as const).flatMap((protocol) => {
      const own = ports.filter(
        (port) => port.protocol === protocol && isIpv6(port.ip) === (family === 'ip6'),
      )
      const toHost = `meta nfproto ${family === 'ip' ? 'ipv4' : 'ipv6'} fib daddr type local`
      return format({ protocol, family, toHost, ports: own })
    }),
  )
}

/** The rules that lead to the chains of the publications. */
function formatJumps({ protocol, family, toHost, ports }: PortKind<ChainedPort>): string[] {
  const jump = ({ chain }: ChainedPort): string => `goto ${chain}`
  return [
    ...formatMap(`${toHost} ${protocol} dport vmap`, ports.filter(isOnAll), portOf, jump),
    ...formatMap(
      `${family} daddr . ${protocol} dport vmap`,
      ports.filter((port) => !isOnAll(port)),
      addressOf,
      jump,
    ),
  ]
}

/** The rules of a publication. */
function formatTranslations({
  protocol,
  family,
  toHost,
  ports,
}: PortKind<TranslatedPort>): string[] {
  const single = ports.filter(({ containerIps }) => containerIps.length === 1)
  const shared = ports.filter(({ containerIps }) => containerIps.length > 1)
  const target = ({ containerIps: [ip = ''], containerPort }: TranslatedPort): string =>
    `${ip} . ${containerPort}`
  return [
    ...formatMap(
      `${toHost} dnat ${family} to ${protocol} dport map`,
      single.filter(isOnAll),
      portOf,
      target,
    ),
    ...formatMap(
      `dnat ${family} to ${family} daddr . ${protocol} dport map`,
      single.filter((port) => !isOnAll(port)),
      addressOf,
      target,
    ),
    ...shared.flatMap((port) =>
      formatMap(
        `${isOnAll(port) ? toHost : `${family} daddr ${port.ip}`} ${protocol} dport ${port.port} dnat ${family} to numgen inc mod ${port.containerIps.length} map`,
        port.containerIps.map((ip, number) => ({ ip, number })),
        ({ number }) => `${number}`,
        ({ ip }) => `${ip} . ${port.containerPort}`,
      ),
    ),
  ]
}

function isOnAll({ ip }: TranslatedPort): boolean {
  return isWildcard(ip)
}

function portOf({ port }: TranslatedPort): string {
  return `${port}`
}

function addressOf({ ip, port }: TranslatedPort): string {
  return `${ip} . ${port}`
}

/** A rule with a map at its end; no rule for an empty map. */
function formatMap<T>(
  rule: string,
  items: readonly T[],
  key: (item: T) => string,
  value: (item: T) => string,
): string[] {
  if (items.length === 0) return []
  return [`${rule} { ${items.map((item) => `${key(item)} : ${value(item)}`).join(', ')} }`]
}
