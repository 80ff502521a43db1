import { isIpv6, isWildcard } from '../sockets/ip-address.js'
import type { TranslatedPort } from './translated-port.js'

/** Before the rules of the Docker Engine and of others, whose priority is dstnat, -100. See nft(8). */
const PRIORITY = -101
/**
 * An empty chain that nft needs for a change. A withdrawal removes the chain, so that a change under way can't bring ports back. A table
 * without publications has no such chain.
 */
export const PERMIT = 'permit'

/** The content of a table. */
export interface Translation {
  /** The ports of each publication, by its name. */
  readonly publications: ReadonlyMap<string, readonly TranslatedPort[]>
  /** Interfaces of containers: their packets are not translated, because the replies would not come back through this host. */
  readonly exceptInterfaces: readonly string[]
}

/** A port, and the chain of its publication. */
interface ChainedPort extends TranslatedPort {
  readonly chain: string
}

/** Each publication has a chain, and the first rules lead to them. Thousands of ports are one map, because each rule costs time for each new connection. */
export function formatTable(id: string, { publications, exceptInterfaces }: Translation): string {
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
${[...(chains.length > 0 ? [formatChain(PERMIT, [])] : []), ...chains, formatChain('prerouting', prerouting)].join('')}}
`
}

/** The chain of a publication. Its name can't be a word of nft. */
export function chainOf(publication: string): string {
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
  const ranges = rangesOf(ports)
  const jump = ({ first: { chain } }: PortRange): string => `goto ${chain}`
  const numbers = ({ first, last }: PortRange): string =>
    last.port > first.port ? `${first.port}-${last.port}` : `${first.port}`
  const isOnEach = ({ first }: PortRange): boolean => isOnAll(first)
  return [
    ...formatMap(`${toHost} ${protocol} dport vmap`, ranges.filter(isOnEach), numbers, jump),
    ...formatMap(
      `${family} daddr . ${protocol} dport vmap`,
      ranges.filter((range) => !isOnEach(range)),
      (range) => `${range.first.ip} . ${numbers(range)}`,
      jump,
    ),
  ]
}

/** Consecutive ports of one address and publication. */
interface PortRange {
  readonly first: ChainedPort
  last: ChainedPort
}

/** A range of thousands of ports takes nft much longer than its ends. */
function rangesOf(ports: readonly ChainedPort[]): PortRange[] {
  const ranges: PortRange[] = []
  for (const port of [...ports].sort((a, b) => a.port - b.port)) {
    const last = ranges.at(-1)
    const continues =
      last?.last.port === port.port - 1 &&
      last.first.ip === port.ip &&
      last.first.chain === port.chain
    if (continues) last.last = port
    else ranges.push({ first: port, last: port })
  }
  return ranges
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
