import type { Container } from '../docker/container.js'
import { missingPorts } from '../docker/container-address.js'
import type { Containers } from '../docker/containers.js'
import { runFirewall } from '../linux/netfilter/command.js'
import { findConnections, type TrackedConnection } from '../linux/netfilter/conntrack.js'
import { ownAddresses } from '../linux/sockets/own-addresses.js'
import type { Log } from '../log/log.js'
import { printable } from '../printable.js'

/** Time after a change of containers before they are looked at, milliseconds: the engine publishes ports while it starts a container. */
const SETTLE_MS = 2_000

/** Warns of faults of the engine's own ports, once each. */
export class EngineWarnings {
  /** Container ids with the time of their start. */
  #seen: ReadonlySet<string> = new Set()
  /** The same with their missing ports. */
  #reported: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly containers: Containers,
    private readonly log: Log,
  ) {
    containers.on('changed', () => {
      clearTimeout(this.#timer)
      this.#timer = setTimeout(() => void this.#look(), SETTLE_MS).unref()
    })
  }

  close(): void {
    clearTimeout(this.#timer)
  }

  async #look(): Promise<void> {
    const running = this.containers.all.filter(({ isRunning }) => isRunning)
    const started = running.filter((each) => !this.#seen.has(keyOf(each)))
    this.#seen = new Set(running.map(keyOf))
    this.#warnOfMissingPorts(running)
    await this.#warnOfPinnedClients(started)
  }

  /** A port that was taken when the host or the engine started may be missing for ever, see moby issue 51758. */
  #warnOfMissingPorts(running: readonly Container[]): void {
    const reported = new Set<string>()
    for (const container of running) {
      const missing = missingPorts(container, this.containers.networks)
      if (missing.length === 0) continue
      const ports = missing.map(({ protocol, port }) => `${port}/${protocol}`).join(', ')
      const key = `${keyOf(container)} ${ports}`
      reported.add(key)
      if (this.#reported.has(key)) continue
      const name = printable(container.name)
      this.log.warn(
        `The container ${name} runs, but Docker does not publish its ports ${ports}: once their host ports are free, "docker restart ${name}" publishes them`,
      )
    }
    this.#reported = reported
  }

  /**
   * A flow of UDP that began while its container was away belongs to the docker-proxy, and stays there as long as the client sends, see moby
   * issue 53384.
   */
  async #warnOfPinnedClients(started: readonly Container[]): Promise<void> {
    const ports = new Set(
      started.flatMap(({ published }) =>
        published.filter(({ protocol }) => protocol === 'udp').map(({ port }) => port),
      ),
    )
    if (ports.size === 0) return
    try {
      for (const [port, clients] of await pinnedClients(ports)) {
        this.log.warn(
          `Clients of port ${port}/udp stay with docker-proxy: ${describeClients(clients)}; "conntrack -D -p udp --orig-port-dst ${port}" leads them to the container`,
        )
      }
    } catch (err) {
      // Without root or without a firewall, there is nothing to see.
      this.log.debug(`Can't look for clients of UDP ports: ${printable((err as Error).message)}`)
    }
  }
}

/**
 * Finds the clients on other hosts that stay with a docker-proxy, although a rule leads to the container.
 * @param ports numbers of UDP ports
 * @returns the addresses of the clients by port
 */
async function pinnedClients(ports: ReadonlySet<number>): Promise<Map<number, string[]>> {
  const rules = await runFirewall(['iptables', '-w', '-t', 'nat', '-S'])
  const translated = new Set<number>()
  // Without such a rule, all clients belong to the docker-proxy.
  for (const rule of rules.split('\n')) {
    if (!rule.includes('-p udp ') || !rule.includes('-j DNAT ')) continue
    const port = Number(/ --dport (\d+) /.exec(rule)?.[1])
    if (ports.has(port)) translated.add(port)
  }
  const clients = new Map<number, string[]>()
  if (translated.size === 0) return clients
  const own = ownAddresses()
  const isPinned = ({ protocol, client, destination, replier }: TrackedConnection): boolean =>
    protocol === 'udp' &&
    translated.has(destination.port) &&
    destination.ip === replier.ip &&
    own.has(destination.ip) &&
    !own.has(client.ip)
  for (const { client, destination } of await findConnections(isPinned)) {
    const known = clients.get(destination.port)
    if (known) known.push(client.ip)
    else clients.set(destination.port, [client.ip])
  }
  return clients
}

/** `10.99.0.2`, or `10.99.0.2 and 3 more`. */
function describeClients([first = '', ...others]: readonly string[]): string {
  return others.length > 0 ? `${first} and ${others.length} more` : first
}

function keyOf({ id, startedAt }: Container): string {
  return `${id} ${startedAt}`
}
