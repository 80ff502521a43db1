import { runFirewall } from './command.js'
import type { TranslatedPort } from './translated-port.js'

/** The chain that the Docker Engine leaves to others: it comes before the Engine's own rules, which drop unknown connections to its containers. */
const USER_CHAIN = 'DOCKER-USER'
/** The chain for rules on a host without the Docker Engine, see iptables(8). */
const FORWARD_CHAIN = 'FORWARD'

/** Ports that follow each other on both sides: one rule is enough. */
interface PortRun {
  readonly protocol: string
  readonly containerIp: string
  readonly first: { readonly host: number; readonly container: number }
  /** Ports, at least 1. */
  length: number
}

/** A chain of iptables that lets translated connections through. One rule leads to it, behind the user's own rules. */
export class ForwardChain {
  readonly #name: string
  /** The chain, and the rule that leads to it, as iptables lists them. */
  #applied: string | undefined

  /**
   * @param iptables `iptables` or `ip6tables`
   * @param name of the chain, which belongs to us alone; at most 28 characters, see iptables(8)
   */
  constructor(
    private readonly iptables: string,
    name: string,
  ) {
    this.#name = name
  }

  /** Lets the connections of these ports through, and no others. Rejects with FirewallError. */
  async apply(ports: readonly TranslatedPort[]): Promise<void> {
    this.#applied = undefined
    const rules = await this.#list()
    await this.#restore([
      // Naming a chain empties it.
      `:${this.#name} - [0:0]`,
      ...new Set(portRuns(ports).map((run) => `-A ${this.#name} ${formatRun(run)}`)),
      ...this.#jumpCommands(rules),
    ])
    this.#applied = this.#ownRules(await this.#list())
  }

  /** Removes the chain, if it is there. Rejects with FirewallError. */
  async remove(): Promise<void> {
    this.#applied = undefined
    const rules = await this.#list()
    if (this.#ownRules(rules) === '') return
    await this.#restore([
      ...this.#jumps(rules).map((rule) => rule.replace(/^-A/, '-D')),
      `-F ${this.#name}`,
      `-X ${this.#name}`,
    ])
  }

  /** Whether the chain is as it was applied. Rejects with FirewallError. */
  async isIntact(): Promise<boolean> {
    const rules = await this.#list()
    // The Docker Engine may have made its chain since.
    return this.#applied === this.#ownRules(rules) && this.#jumpCommands(rules).length === 0
  }

  /** The commands after which one rule leads to the chain: the last rule, or before a last rule that ends the user's chain. */
  #jumpCommands(rules: readonly string[]): string[] {
    const hook = rules.includes(`-N ${USER_CHAIN}`) ? USER_CHAIN : FORWARD_CHAIN
    const jumps = this.#jumps(rules)
    const wrong = jumps.filter((rule) => !rule.startsWith(`-A ${hook} `))
    const commands = wrong.map((rule) => rule.replace(/^-A/, '-D'))
    if (jumps.length > wrong.length) return commands
    const others = rules.filter((rule) => rule.startsWith(`-A ${hook} `))
    const isLastAReturn = others.at(-1) === `-A ${hook} -j RETURN`
    // Without the Docker Engine, a rule of some other program may drop everything at the end.
    const position = hook === FORWARD_CHAIN ? 1 : others.length + (isLastAReturn ? 0 : 1)
    return [...commands, `-I ${hook} ${position} -j ${this.#name}`]
  }

  #jumps(rules: readonly string[]): string[] {
    return rules.filter((rule) => rule.endsWith(` -j ${this.#name}`))
  }

  #ownRules(rules: readonly string[]): string {
    const own = rules.filter(
      (rule) => rule === `-N ${this.#name}` || rule.startsWith(`-A ${this.#name} `),
    )
    return [...own, ...this.#jumps(rules)].join('\n')
  }

  async #list(): Promise<string[]> {
    return (await runFirewall([this.iptables, '-w', '-S'])).split('\n')
  }

  /** Does all commands, or none. */
  async #restore(commands: readonly string[]): Promise<void> {
    const input = ['*filter', ...commands, 'COMMIT', ''].join('\n')
    await runFirewall([`${this.iptables}-restore`, '-w', '--noflush'], input)
  }
}

/** Both directions of a connection have its tuples, and so have the errors of ICMP that belong to it. */
function formatRun({ protocol, containerIp, first, length }: PortRun): string {
  const range = (port: number): string =>
    length === 1 ? String(port) : `${port}:${port + length - 1}`
  return `-m conntrack --ctstate DNAT --ctproto ${protocol} --ctreplsrc ${containerIp} --ctorigdstport ${range(first.host)} --ctreplsrcport ${range(first.container)} -j ACCEPT`
}

function portRuns(ports: readonly TranslatedPort[]): PortRun[] {
  const runs: PortRun[] = []
  const sorted = ports
    .flatMap(({ protocol, port, containerIps, containerPort }) =>
      containerIps.map((containerIp) => ({ protocol, port, containerIp, containerPort })),
    )
    .sort(
      (a, b) =>
        a.containerIp.localeCompare(b.containerIp) ||
        a.protocol.localeCompare(b.protocol) ||
        a.port - b.port,
    )
  for (const { protocol, port, containerIp, containerPort } of sorted) {
    const last = runs.at(-1)
    const follows =
      last?.containerIp === containerIp &&
      last.protocol === protocol &&
      port === last.first.host + last.length &&
      containerPort === last.first.container + last.length
    if (follows) last.length++
    else
      runs.push({
        ...{ protocol, containerIp, length: 1 },
        first: { host: port, container: containerPort },
      })
  }
  return runs
}
