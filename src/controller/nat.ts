import { createHash } from 'node:crypto'
import { BRIDGES } from '../docker/container-address.js'
import type { Containers } from '../docker/containers.js'
import { forgetConnections } from '../linux/netfilter/conntrack.js'
import { errnoCode } from '../linux/errno.js'
import { FirewallError } from '../linux/netfilter/command.js'
import { Firewall } from '../linux/netfilter/firewall.js'
import { chainOf } from '../linux/netfilter/nat-rules.js'
import { RuleWatch } from '../linux/netfilter/rule-watch.js'
import type { TranslatedPort } from '../linux/netfilter/translated-port.js'
import type { PublicationChain } from '../linux/netfilter/withdrawal.js'
import { interfaceFinder } from '../linux/sockets/own-addresses.js'
import type { Log } from '../log/log.js'
import { RepeatedLines } from '../log/repeated-lines.js'
import { PortIndex } from '../ports/claims/port-index.js'
import type { HostPort } from '../ports/host-port.js'
import { printable } from '../printable.js'
import type { BackendList } from '../status/backend-list.js'
import { ContainerWatch, KernelReports } from '../status/container-watch.js'
import { OutdatedConnections } from './outdated-connections.js'
import { ROOT_RUN_FOLDER } from './run-folder.js'

/** The name of our rules. */
const NAME = 'docker-publish'
/** Time between two checks of the rules, milliseconds: iptables-legacy reports no changes. */
const CHECK_MS = 10_000
/** Time between a change of the firewall and a check, milliseconds: a reload is many changes. */
const SETTLE_MS = 50
/** Time before rules that could not be changed are tried again, milliseconds. It doubles each time. */
const RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

/** Has the kernel translate addresses for ports of publications, and keeps the rules for it in place. */
export class Nat {
  readonly #name: string
  readonly #firewall: Firewall
  readonly #watch = new RuleWatch(() => this.#checkIn(SETTLE_MS))
  readonly #reports = new KernelReports()
  readonly #errors: RepeatedLines
  /** By publication. */
  readonly #wanted = new Map<string, readonly TranslatedPort[]>()
  #wantedPorts: readonly TranslatedPort[] | undefined
  readonly #outdated = new OutdatedConnections()
  /** As #outdated, of containers that have ended and not of other changes. */
  #lost = new OutdatedConnections()
  #isForgetting = false
  /** Publications that are withdrawn at the end of this turn of the event loop. */
  readonly #withdrawn = new Set<string>()
  /** The ports of the rules in place. */
  #applied: readonly TranslatedPort[] = []
  #index = new PortIndex<TranslatedPort>()
  #interfaces = ''
  /** Whether another program has changed the rules since. */
  #isDamaged = false
  /** Whether changes wait for `restore`. */
  #isRestoring = false
  /** Whether there are rules, or may be. */
  #hasRules = false
  /** The changes so far, one after the other. */
  #changes: Promise<void> = Promise.resolve()
  /** The change that has not begun. It includes all ports that are set until then. */
  #queued: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined
  /** When the timer ends, by performance.now(), milliseconds. */
  #checkAt = Infinity
  #isChecking = false
  /** Whether something has changed since the check began. */
  #isCheckDue = false
  #retryMs = RETRY_MS
  #isClosed = false
  #isLeft = false

  /** @param runFolder of the controller: each controller of a host has rules of its own */
  constructor(
    runFolder: string,
    private readonly containers: Containers | undefined,
    private readonly log: Log,
  ) {
    this.#errors = new RepeatedLines((line, fields) => log.error(line, fields))
    this.#name = nameFor(runFolder)
    this.#firewall = new Firewall(this.#name, (reason) =>
      this.#errors.add(`The kernel translates ports, and ${reason}`),
    )
  }

  /** Why this host can't translate ports, one clause; undefined if it can. */
  whyUnavailable(): Promise<string | undefined> {
    return this.#firewall.whyUnavailable()
  }

  /** From now on ports are only noted, until `restore`. */
  beginRestoring(): void {
    this.#isRestoring = true
  }

  /**
   * Replaces the rules of an earlier daemon. Never rejects.
   * @param saved all ports that the earlier daemon may have translated
   */
  async restore(saved: readonly HostPort[]): Promise<void> {
    this.#isRestoring = false
    try {
      this.#hasRules = await this.#firewall.adopt()
    } catch (err) {
      // Without nft there are no rules.
      if (this.#wanted.size > 0) this.#report(err)
    }
    if (this.#hasRules) for (const port of saved) this.#outdated.addWithAnyContainer(port)
    if (this.#hasRules || this.#wanted.size > 0) await this.#change().catch(() => undefined)
  }

  /**
   * Sets the ports of a publication that are translated. The rules to a container that has ended are removed in this turn of the event loop,
   * because another container may soon have its address.
   * Rejects with FirewallError if the rules can't be changed. The change is tried again until it succeeds.
   */
  async set(publication: string, ports: readonly TranslatedPort[]): Promise<void> {
    const { before, after } = this.#note(publication, ports)
    if (this.#isRestoring || (before.length === 0 && after.length === 0)) return
    if (hasLostContainer(before, after)) this.#withdrawSoon(publication, before)
    await this.#change()
  }

  /** Translates no port of a publication any more. Its containers may go on. Rejects as `set` does. */
  async remove(publication: string): Promise<void> {
    const { before } = this.#note(publication, [])
    if (before.length > 0 && !this.#isRestoring) await this.#change()
  }

  #note(
    publication: string,
    ports: readonly TranslatedPort[],
  ): { before: readonly TranslatedPort[]; after: readonly TranslatedPort[] } {
    const before = this.#wanted.get(publication) ?? []
    // Equal ports stay the same objects, by which changes are found.
    const same = new Map(before.map((port) => [JSON.stringify(port), port]))
    const after = ports.map((port) => same.get(JSON.stringify(port)) ?? port)
    if (after.length > 0) this.#wanted.set(publication, after)
    else this.#wanted.delete(publication)
    this.#wantedPorts = undefined
    return { before, after }
  }

  /** The ports of all publications: the same array until one of them changes. */
  readonly #allWanted = (): readonly TranslatedPort[] =>
    (this.#wantedPorts ??= [...this.#wanted.values()].flat())

  /** Removes rules ahead of the change, which waits for earlier changes and for other programs. Meanwhile the proxy serves all clients. */
  #withdrawSoon(publication: string, before: readonly TranslatedPort[]): void {
    this.#lost.addChange(before, [])
    // Many containers often end in one turn of the event loop, and each transaction takes time.
    if (this.#withdrawn.size === 0) queueMicrotask(() => this.#withdraw())
    this.#withdrawn.add(publication)
  }

  #withdraw(): void {
    const publications = [...this.#withdrawn]
    this.#withdrawn.clear()
    try {
      this.#firewall.withdraw(publications)
    } catch (err) {
      this.#report(err)
    }
    if (!this.#isForgetting) void this.#forgetLost()
  }

  /** Never rejects. */
  async #forgetLost(): Promise<void> {
    this.#isForgetting = true
    try {
      while (!this.#lost.isEmpty) await this.#lost.forget(forgetConnections, this.#allWanted)
    } catch (err) {
      // The change that follows forgets them as well.
      this.#report(err)
      this.#lost = new OutdatedConnections()
    } finally {
      this.#isForgetting = false
    }
  }

  /** Where the rules of a publication are. */
  chainOf(publication: string): PublicationChain {
    return { table: this.#name, chain: chainOf(publication) }
  }

  /** @param changed see ContainerWatch */
  watchContainers(changed: (list: BackendList) => void): ContainerWatch {
    return new ContainerWatch(changed, () => undefined, this.log, this.#reports)
  }

  /** Whether the kernel translates a port now. */
  translates(port: HostPort): boolean {
    return this.#index.find(port) !== undefined
  }

  /** Ends all translations. Never rejects. */
  async close(): Promise<void> {
    this.#wanted.clear()
    this.#wantedPorts = undefined
    if (this.#hasRules) await this.#change().catch(() => undefined)
    this.#end()
  }

  /** Ends all translations until the next daemon: nobody watches the containers meanwhile. Open connections stay. Never rejects. */
  async leave(): Promise<void> {
    this.#isLeft = true
    this.#end()
    // After a failure the guard of the rules does it.
    const suspend = (): Promise<void> => this.#firewall.suspend().catch(() => undefined)
    await this.#changes.then(() => (this.#hasRules ? suspend() : undefined))
  }

  #end(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#watch.stop()
    this.#errors.flush()
  }

  /** Puts the wanted ports in place. Requests that come meanwhile are one change. */
  #change(): Promise<void> {
    if (this.#queued) return this.#queued
    const change = this.#changes.then(() => {
      this.#queued = undefined
      // `leave` comes after all changes.
      return this.#isLeft ? undefined : this.#putInPlace()
    })
    this.#changes = change.catch(() => undefined)
    this.#queued = change.catch((err: unknown) => {
      if (!isSuperseded(err)) throw err
      return this.#change()
    })
    return this.#queued
  }

  async #putInPlace(): Promise<void> {
    const wanted = new Map(this.#wanted)
    const ports = this.#allWanted()
    this.#outdated.addChange(this.#applied, ports)
    this.#setApplied([])
    this.#hasRules = true
    try {
      if (ports.length > 0) {
        this.#watch.start()
        const interfaces = this.#exceptInterfaces()
        await this.#firewall.apply(wanted, interfaces, this.#isDamaged)
        this.#interfaces = interfaces.join()
      } else {
        await this.#firewall.remove()
        this.#watch.stop()
        this.#hasRules = false
      }
      this.#isDamaged = false
      this.#setApplied(ports)
      await this.#outdated.forget(forgetConnections, () => ports)
    } catch (err) {
      // Another change follows.
      if (isSuperseded(err)) throw err
      this.#report(err)
      this.#checkIn(this.#retryMs)
      this.#retryMs = Math.min(2 * this.#retryMs, MAX_RETRY_MS)
      throw err
    }
    this.#retryMs = RETRY_MS
    if (ports.length > 0) this.#checkIn(CHECK_MS)
  }

  #setApplied(ports: readonly TranslatedPort[]): void {
    this.#applied = ports
    this.#index = new PortIndex()
    for (const port of ports) this.#index.add(port)
  }

  /** Clients in containers are left to the proxy, as the Docker Engine does it. */
  #exceptInterfaces(): string[] {
    const ips = new Set(this.#allWanted().flatMap((port) => port.containerIps))
    for (const { networks } of this.containers?.all ?? []) {
      for (const { id, ip, ip6 } of networks) {
        const isBridge = BRIDGES.includes(this.containers?.networks.get(id)?.driver ?? '')
        for (const each of isBridge ? [ip, ip6] : []) if (each !== undefined) ips.add(each)
      }
    }
    const find = interfaceFinder()
    const names = [...ips].map(find).filter((name) => name !== undefined)
    return [...new Set(['lo', ...names])].sort()
  }

  /** A check that is due earlier stays. */
  #checkIn(milliseconds: number): void {
    const checkAt = performance.now() + milliseconds
    if (this.#isClosed || checkAt >= this.#checkAt) return
    clearTimeout(this.#timer)
    this.#checkAt = checkAt
    this.#timer = setTimeout(() => {
      this.#checkAt = Infinity
      this.#check().catch((err: unknown) => {
        this.#report(err)
        this.#checkIn(CHECK_MS)
      })
    }, milliseconds).unref()
  }

  /** Puts the rules back if another program has changed them, for example a reload of the firewall. */
  async #check(): Promise<void> {
    if (this.#isChecking) {
      this.#isCheckDue = true
      return
    }
    this.#isChecking = true
    try {
      await this.#checkNow()
    } finally {
      this.#isChecking = false
      if (this.#isCheckDue) this.#checkIn(SETTLE_MS)
      this.#isCheckDue = false
    }
  }

  async #checkNow(): Promise<void> {
    await this.#changes
    if (this.#isClosed) return
    const isChangeDue = this.#wanted.size > 0 ? await this.#needsRepair() : this.#hasRules
    if (isChangeDue || !this.#outdated.isEmpty) await this.#change().catch(() => undefined)
    else if (this.#wanted.size > 0) this.#checkIn(CHECK_MS)
  }

  async #needsRepair(): Promise<boolean> {
    if (!(await this.#firewall.isIntact())) this.#isDamaged = true
    return (
      this.#isDamaged ||
      this.#allWanted().length !== this.#applied.length ||
      this.#interfaces !== this.#exceptInterfaces().join()
    )
  }

  #report(err: unknown): void {
    const reason =
      errnoCode(err) === 'EPERM'
        ? 'this needs CAP_NET_ADMIN, see docs/proxy-or-nat.md'
        : printable((err as Error).message)
    this.#errors.add(`Can't change the rules of the firewall: ${reason}`)
  }
}

function isSuperseded(err: unknown): boolean {
  return err instanceof FirewallError && err.code === 'ESUPERSEDED'
}

/** Whether a container is no longer among those behind the ports. */
function hasLostContainer(
  before: readonly TranslatedPort[],
  after: readonly TranslatedPort[],
): boolean {
  const left = new Set(after.flatMap(({ containerIps }) => containerIps))
  return before.some(({ containerIps }) => containerIps.some((ip) => !left.has(ip)))
}

/** The name of a controller's rules. A chain's name has at most 28 characters, see iptables(8). */
function nameFor(runFolder: string): string {
  if (runFolder === ROOT_RUN_FOLDER) return NAME
  return `${NAME}-${createHash('sha256').update(runFolder).digest('hex').slice(0, 8)}`
}
