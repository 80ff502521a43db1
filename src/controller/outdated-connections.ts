import type { TrackedConnection } from '../linux/netfilter/conntrack.js'
import type { TranslatedPort } from '../linux/netfilter/translated-port.js'
import { ownAddresses } from '../linux/sockets/own-addresses.js'
import { portsOverlap } from '../ports/claims/overlap.js'
import type { HostPort } from '../ports/host-port.js'

/** A port whose rules have changed. */
interface ChangedPort extends HostPort {
  /** The containers that its connections led to; undefined for any container. */
  readonly containerIps: readonly string[] | undefined
  /** Whether a rule is new: flows of UDP that the proxy serves would stay with the proxy. */
  readonly isNew: boolean
}

/**
 * Connections that do not follow a change of rules by themselves: packets of a known connection go where its first packet went. A change is
 * remembered until these connections are forgotten.
 */
export class OutdatedConnections {
  #changed: ChangedPort[] = []

  get isEmpty(): boolean {
    return this.#changed.length === 0
  }

  /** Notes a port whose connections may lead to any container. */
  addWithAnyContainer({ protocol, ip, port }: HostPort): void {
    this.#changed.push({ protocol, ip, port, containerIps: undefined, isNew: false })
  }

  addChange(before: readonly TranslatedPort[], after: readonly TranslatedPort[]): void {
    const [old, current] = [new Set(before), new Set(after)]
    for (const port of before) if (!current.has(port)) this.#changed.push({ ...port, isNew: false })
    for (const port of after) {
      if (!old.has(port)) this.#changed.push({ ...port, containerIps: [], isNew: true })
    }
  }

  /**
   * Makes the kernel forget these connections.
   * @param forget see forgetConnections
   * @param current returns the ports of the rules in place, the same array until they change
   * Rejects as `forget` does. The change is still remembered then.
   */
  async forget(
    forget: (
      matches: (connection: TrackedConnection) => boolean,
      repliers?: readonly string[],
    ) => Promise<number>,
    current: () => readonly TranslatedPort[],
  ): Promise<void> {
    const changed = [...this.#changed]
    if (changed.length === 0) return
    const byNumber = groupByNumber(changed)
    let grouped = { ports: current(), byNumber: groupByNumber(current()) }
    const currentOn = (number: number): readonly TranslatedPort[] => {
      // A container may have come back meanwhile, with its address.
      const ports = current()
      if (ports !== grouped.ports) grouped = { ports, byNumber: groupByNumber(ports) }
      return grouped.byNumber.get(number) ?? []
    }
    const own = ownAddresses()
    const matches = (connection: TrackedConnection): boolean => {
      const { protocol, destination, replier } = connection
      const candidates = byNumber.get(destination.port)
      // Connections to other hosts that pass through this one are not ours.
      if (!candidates || !own.has(destination.ip)) return false
      const asked = { protocol, ...destination }
      const ports = candidates.filter((port) => portsOverlap(port, asked))
      const isTranslated = destination.ip !== replier.ip || destination.port !== replier.port
      if (!isTranslated) return protocol === 'udp' && ports.some(({ isNew }) => isNew)
      const isCurrent = currentOn(destination.port).some(
        (port) => portsOverlap(port, asked) && port.containerIps.includes(replier.ip),
      )
      if (isCurrent) return false
      return ports.some(
        ({ containerIps }) => containerIps === undefined || containerIps.includes(replier.ip),
      )
    }
    await forget(matches, repliersOf(changed))
    // Changes that came meanwhile stay.
    this.#changed = this.#changed.slice(changed.length)
  }
}

/** The addresses that reply in the connections in question; undefined for any. */
function repliersOf(changed: readonly ChangedPort[]): string[] | undefined {
  const ips = new Set<string>()
  for (const { containerIps, isNew } of changed) {
    if (containerIps === undefined || isNew) return undefined
    for (const ip of containerIps) ips.add(ip)
  }
  return [...ips]
}

function groupByNumber<T extends HostPort>(ports: readonly T[]): Map<number, T[]> {
  const groups = new Map<number, T[]>()
  for (const port of ports) {
    const group = groups.get(port.port)
    if (group) group.push(port)
    else groups.set(port.port, [port])
  }
  return groups
}
