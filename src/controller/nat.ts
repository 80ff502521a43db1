import { createHash } from 'node:crypto'
import type { Containers } from '../docker/containers.js'
import { errnoReason } from '../linux/errno.js'
import { forgetConnections, type TrackedConnection } from '../linux/netfilter/conntrack.js'
import { Firewall } from '../linux/netfilter/firewall.js'
import { RuleWatch } from '../linux/netfilter/rule-watch.js'
import type { TranslatedPort } from '../linux/netfilter/translated-port.js'
import { interfacesTowards } from '../linux/sockets/own-addresses.js'
import type { Log } from '../log/log.js'
import { RepeatedLines } from '../log/repeated-lines.js'
import type { HostPort } from '../ports/host-port.js'
import { portsOverlap } from '../ports/claims/overlap.js'
import { printable } from '../printable.js'
import { ROOT_RUN_FOLDER } from './run-folder.js'

/** The name of our rules. */
const NAME = 'docker-publish'
/** Time between two looks at the rules, milliseconds: iptables-legacy reports no changes. */
const LOOK_MS = 10_000
/** Time between a change of the firewall and a look at it, milliseconds: a reload is many changes. */
const SETTLE_MS = 50
/** Time after which rules that could not be changed are tried again, milliseconds. */
const RETRY_MS = 1_000

/** Has the kernel translate addresses for ports of publications, and keeps the rules for it in place. */
export class Nat {
  readonly #firewall: Firewall
  readonly #watch = new RuleWatch(() => this.#lookIn(SETTLE_MS))
  readonly #errors: RepeatedLines
  /** By publication. */
  readonly #wanted = new Map<string, readonly TranslatedPort[]>()
  /** What the rules do; undefined if that is not known. */
  #applied: readonly TranslatedPort[] | undefined
  #interfaces = ''
  /** Whether another program has changed the rules since. */
  #isDamaged = false
  /** The changes so far, one after the other. */
  #changes: Promise<void> = Promise.resolve()
  /** The change that has not begun. It includes whatever is wanted until then. */
  #queued: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  /** @param runFolder of the controller: each controller of a host has rules of its own */
  constructor(
    runFolder: string,
    private readonly containers: Containers | undefined,
    log: Log,
  ) {
    this.#firewall = new Firewall(nameFor(runFolder))
    this.#errors = new RepeatedLines((line, fields) => log.error(line, fields))
  }

  /** Why this host can't translate ports, one clause; undefined if it can. */
  whyUseless(): Promise<string | undefined> {
    return this.#firewall.whyUseless()
  }

  /** Replaces the rules of an earlier daemon by those that were wanted since. Never rejects. */
  async restore(): Promise<void> {
    if (this.#wanted.size > 0) return this.#change().catch(() => undefined)
    await this.#firewall.removeLeftovers().catch((err: unknown) => this.#report(err))
  }

  /**
   * Sets the ports of a publication that are translated; none for one that is withdrawn.
   * Rejects with FirewallError if the rules can't be changed. That is tried again until it succeeds.
   */
  async set(publication: string, ports: readonly TranslatedPort[]): Promise<void> {
    const before = this.#wanted.get(publication) ?? []
    if (ports.length === 0 && before.length === 0) return
    // Equal ports stay the same objects, by which changes are found.
    const same = new Map(before.map((port) => [JSON.stringify(port), port]))
    const after = ports.map((port) => same.get(JSON.stringify(port)) ?? port)
    if (ports.length > 0) this.#wanted.set(publication, after)
    else this.#wanted.delete(publication)
    await this.#change()
  }

  /** Whether the kernel translates a port now. */
  translates(port: HostPort): boolean {
    return this.#applied?.some((each) => portsOverlap(each, port)) ?? false
  }

  /** Ends all translations. Never rejects. */
  async close(): Promise<void> {
    this.#wanted.clear()
    if (this.#applied === undefined || this.#applied.length > 0)
      await this.#change().catch(() => undefined)
    this.leave()
  }

  /** Leaves the rules in place, for the next daemon. */
  leave(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#watch.stop()
    this.#errors.flush()
  }

  /** Puts in place what is wanted. Requests that come meanwhile are one change. */
  #change(): Promise<void> {
    if (this.#queued) return this.#queued
    const change = this.#changes.then(() => {
      this.#queued = undefined
      return this.#putInPlace()
    })
    this.#queued = change
    this.#changes = change.catch(() => undefined)
    return change
  }

  async #putInPlace(): Promise<void> {
    const ports = [...this.#wanted.values()].flat()
    const before = this.#applied
    this.#applied = undefined
    try {
      if (ports.length > 0) {
        this.#watch.start()
        const interfaces = this.#exceptInterfaces()
        await this.#firewall.apply(ports, interfaces, this.#isDamaged)
        this.#isDamaged = false
        this.#interfaces = interfaces.join()
      } else {
        await this.#firewall.remove()
        this.#watch.stop()
      }
    } catch (err) {
      this.#report(err)
      this.#lookIn(RETRY_MS)
      throw err
    }
    this.#applied = ports
    await forgetConnections(staleConnections(before, ports)).catch((err: unknown) =>
      this.#report(err),
    )
    if (ports.length > 0) this.#lookIn(LOOK_MS)
  }

  /** Clients in containers are left to the proxy, as the Docker Engine does it. */
  #exceptInterfaces(): string[] {
    const ips = [...this.#wanted.values()].flat().flatMap(({ containerIps }) => containerIps)
    const others = this.containers?.all.flatMap(({ networks }) =>
      networks.flatMap(({ ip, ip6 }) => [ip ?? [], ip6 ?? []].flat()),
    )
    return ['lo', ...interfacesTowards([...ips, ...(others ?? [])])]
  }

  #lookIn(milliseconds: number): void {
    if (this.#isClosed) return
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => void this.#look(), milliseconds)
    this.#timer.unref()
  }

  /** Puts the rules back if something has changed them, such as a reload of the firewall. */
  async #look(): Promise<void> {
    await this.#changes
    if (this.#isClosed) return
    const isIntact = await this.#firewall.isIntact().catch(() => false)
    const isAsWanted =
      this.#applied !== undefined && this.#interfaces === this.#exceptInterfaces().join()
    if (!isIntact) this.#isDamaged = true
    if (!isIntact || !isAsWanted) await this.#change().catch(() => undefined)
    else if (this.#wanted.size > 0) this.#lookIn(LOOK_MS)
  }

  #report(err: unknown): void {
    this.#errors.add(`Can't change the rules of the firewall: ${printable(errnoReason(err))}`)
  }
}

/** The name of a controller's rules. A chain's name has at most 28 characters, see iptables(8). */
function nameFor(runFolder: string): string {
  if (runFolder === ROOT_RUN_FOLDER) return NAME
  return `${NAME}-${createHash('sha256').update(runFolder).digest('hex').slice(0, 8)}`
}

/**
 * Tells the connections that would not follow a change of rules: packets of a known connection go where its first packet went.
 * @param before undefined if that is not known
 */
function staleConnections(
  before: readonly TranslatedPort[] | undefined,
  after: readonly TranslatedPort[],
): (connection: TrackedConnection) => boolean {
  const known = new Set(before)
  const isNew = new Set(after.filter((port) => !known.has(port)))
  const byNumber = new Map<number, TranslatedPort[]>()
  for (const port of [...(before ?? []), ...after]) {
    const others = byNumber.get(port.port)
    if (others) others.push(port)
    else byNumber.set(port.port, [port])
  }
  const current = new Set(after)
  const leadsTo = (port: TranslatedPort, { replier }: TrackedConnection): boolean =>
    port.containerPort === replier.port && port.containerIps.includes(replier.ip)
  return (connection) => {
    const { protocol, destination, replier } = connection
    const ports = byNumber.get(destination.port) ?? []
    const own = ports.filter((port) => portsOverlap(port, { protocol, ...destination }))
    if (own.length === 0) return false
    const isTranslated = destination.ip !== replier.ip || destination.port !== replier.port
    // A flow of UDP that went to the proxy would stay there.
    if (!isTranslated) return protocol === 'udp' && own.some((port) => isNew.has(port))
    if (own.some((port) => current.has(port) && leadsTo(port, connection))) return false
    return before === undefined || own.some((port) => leadsTo(port, connection))
  }
}
