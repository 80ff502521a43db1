import { isIpv6, isWildcard } from '../sockets/ip-address.js'
import { FirewallError, runFirewall } from './command.js'
import type { TranslatedPort } from './translated-port.js'

/** Before the rules of the Docker Engine and of others, whose priority is dstnat, -100. See nft(8). */
const PRIORITY = -101

/** The content of a table. */
export interface Translation {
  readonly ports: readonly TranslatedPort[]
  /** Interfaces of containers: their packets are not translated, because the replies would not come back through this host. */
  readonly exceptInterfaces: readonly string[]
}

/** A table of nftables that translates addresses of connections from outside, as the Docker Engine's rules do for its own ports. */
export class NatTable {
  readonly #id: string
  /** The table as nft lists it. */
  #applied: string | undefined

  /** @param name of the table, which belongs to us alone */
  constructor(name: string) {
    this.#id = `inet ${name}`
  }

  /** Puts the table in place at once, instead of an earlier one. Rejects with FirewallError. */
  async apply(translation: Translation): Promise<void> {
    const table = formatTable(this.#id, translation)
    this.#applied = undefined
    await runFirewall(['nft', '-f', '-'], `${this.#emptied}\n${table}`)
    this.#applied = await this.#list()
    if (this.#applied === undefined) {
      throw new FirewallError(
        'EFAILED',
        'another program has removed the table of nftables at once',
      )
    }
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

function formatTable(id: string, { ports, exceptInterfaces }: Translation): string {
  const rules = [
    ...(exceptInterfaces.length > 0
      ? [`iifname { ${exceptInterfaces.map((name) => JSON.stringify(name)).join(', ')} } return`]
      : []),
    ...[false, true].flatMap((ipv6) =>
      (['tcp', 'udp'] as const).flatMap((protocol) =>
        formatRules(
          protocol,
          ipv6,
          ports.filter((port) => port.protocol === protocol && isIpv6(port.ip) === ipv6),
        ),
      ),
    ),
  ]
  return `table ${id} {
  chain prerouting {
    type nat hook prerouting priority ${PRIORITY}; policy accept;
    ${rules.join('\n    ')}
  }
}
`
}

/** The rules for ports of one protocol and family. Thousands of them are one map, because each rule costs time for each new connection. */
function formatRules(protocol: string, ipv6: boolean, ports: readonly TranslatedPort[]): string[] {
  const family = ipv6 ? 'ip6' : 'ip'
  const [any, local] = [
    `meta nfproto ${ipv6 ? 'ipv6' : 'ipv4'} fib daddr type local`,
    `${family} daddr . ${protocol} dport`,
  ]
  const single = ports.filter(({ containerIps }) => containerIps.length === 1)
  const onAll = single.filter(({ ip }) => isWildcard(ip))
  const onOne = single.filter(({ ip }) => !isWildcard(ip))
  const target = ({ containerIps: [ip = ''], containerPort }: TranslatedPort): string =>
    `${ip} . ${containerPort}`
  const rules: string[] = []
  if (onAll.length > 0) {
    const map = onAll.map((port) => `${port.port} : ${target(port)}`)
    rules.push(`${any} dnat ${family} to ${protocol} dport map { ${map.join(', ')} }`)
  }
  if (onOne.length > 0) {
    const map = onOne.map((port) => `${port.ip} . ${port.port} : ${target(port)}`)
    rules.push(`dnat ${family} to ${local} map { ${map.join(', ')} }`)
  }
  for (const { ip, port, containerIps, containerPort } of ports) {
    if (containerIps.length < 2) continue
    const where = isWildcard(ip) ? any : `${family} daddr ${ip}`
    const map = containerIps.map((each, i) => `${i} : ${each} . ${containerPort}`)
    rules.push(
      `${where} ${protocol} dport ${port} dnat ${family} to numgen inc mod ${map.length} map { ${map.join(', ')} }`,
    )
  }
  return rules
}
