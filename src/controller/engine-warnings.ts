import type { Container } from '../docker/container.js'
import type { Containers } from '../docker/containers.js'
import { runFirewall } from '../linux/netfilter/command.js'
import { findConnections } from '../linux/netfilter/conntrack.js'
import { isOwnAddress } from '../linux/sockets/own-addresses.js'
import type { Log } from '../log/log.js'
import { portsOverlap } from '../ports/claims/overlap.js'
import { formatHostPort } from '../ports/host-port.js'
import { printable } from '../printable.js'

/** Time after a change of containers before they are looked at, milliseconds: the engine publishes ports while it starts a container. */
const SETTLE_MS = 2_000

/** Warns of faults of the engine's own ports, once for each start of a container. */
export class EngineWarnings {
  /** Container ids with the time of their start. */
  readonly #seen = new Set<string>()
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
    this.#seen.clear()
    for (const each of running) this.#seen.add(keyOf(each))
    for (const container of started) this.#warnOfMissingPorts(container)
    await this.#warnOfPinnedClients(started)
  }

  /** A port that was taken when the host started may be missing for ever, see moby issue 51758. */
  #warnOfMissingPorts({ name, unpublished }: Container): void {
    if (unpublished.length === 0) return
    const ports = unpublished.map(({ protocol, port }) => `${port}/${protocol}`).join(', ')
    const shown = printable(name)
    this.log.warn(
      `The container ${shown} runs, but Docker does not publish its ports ${ports}: "docker restart ${shown}" publishes them`,
    )
  }

  /**
   * A flow of UDP that began while its container was away belongs to the docker-proxy, and stays there as long as the client sends, see moby
   * issue 53384.
   */
  async #warnOfPinnedClients(started: readonly Container[]): Promise<void> {
    const ports = started.flatMap(({ published }) =>
      published.filter(({ protocol }) => protocol === 'udp'),
    )
    if (ports.length === 0) return
    try {
      const rules = await runFirewall(['iptables', '-w', '-t', 'nat', '-S'])
      // Without such a rule, all clients belong to the docker-proxy.
      const translated = ports.filter(({ port }) =>
        new RegExp(`-p udp .*--dport ${port} .*-j DNAT`).test(rules),
      )
      const pinned = await findConnections(
        ({ protocol, client, destination, replier }) =>
          protocol === 'udp' &&
          destination.ip === replier.ip &&
          translated.some((port) => portsOverlap(port, { protocol, ...destination })) &&
          isOwnAddress(destination.ip) &&
          !isOwnAddress(client.ip),
      )
      for (const port of translated) {
        const clients = pinned.filter(({ destination }) => destination.port === port.port)
        if (clients.length === 0) continue
        const [first] = clients
        this.log.warn(
          `${clients.length} client${clients.length > 1 ? 's' : ''} of ${formatHostPort(port)}, for example ${first?.client.ip}, stay with docker-proxy: "conntrack -D -p udp --orig-port-dst ${port.port}" leads them to the container`,
        )
      }
    } catch (err) {
      // Without root, or without a firewall, there is nothing to see.
      this.log.debug(`Can't look for clients of UDP ports: ${printable((err as Error).message)}`)
    }
  }
}

function keyOf({ id, startedAt }: Container): string {
  return `${id} ${startedAt}`
}
