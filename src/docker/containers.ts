import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import { deferred } from '../deferred.js'
import { errnoReason } from '../linux/errno.js'
import { ProcessWatch } from '../linux/proc/process-watch.js'
import { processContainer } from '../linux/proc/process.js'
import type { Log } from '../log/log.js'
import { parseContainer, type Container, type InspectReply } from './container.js'
import type { EngineNetwork } from './container-address.js'
import { EngineClient, EngineError } from './engine-client.js'
import { openEvents, type EngineEvent } from './engine-events.js'
import { listIngressPorts, type IngressPort } from './services.js'
import {
  EngineHostError,
  formatEngineHost,
  refuseRemoteEngine,
  type EngineHost,
} from './engine-host.js'

/** Wait before connecting again, milliseconds. */
const RETRY_MS = 500
/** How long a list of the ingress ports is current, milliseconds. */
const INGRESS_AGE_MS = 1_000
/** How long it may take, and time before the next attempt, milliseconds. */
const INGRESS_WAIT_MS = 1_000
const INGRESS_RETRY_MS = 10_000
/** The first HTTP status of the engine's own faults. */
const INTERNAL_ERROR = 500
/** Containers that are inspected at the same time. */
const REQUESTS_AT_ONCE = 8

interface ContainersEvents {
  /** A container has changed, or the first list has come. */
  changed: []
}

/**
 * The containers of an engine, kept current. The engine's events only say what to look at again: after each connection all containers are
 * listed and inspected, because events can be lost.
 *
 * While the engine is away, the last known containers stay. Only the end of a container's process is noticed.
 */
export class Containers extends EventEmitter<ContainersEvents> {
  readonly #findHost: () => EngineHost
  readonly #log: Log
  readonly #all = new Map<string, Container>()
  #list: readonly Container[] | undefined
  readonly #networks = new Map<string, EngineNetwork>()
  /** Containers that are being inspected, and how many events have come meanwhile. */
  readonly #refreshing = new Map<string, { events: number; done: Promise<void> }>()
  readonly #limit = pLimit(REQUESTS_AT_ONCE)
  #wasListed = false
  /** The list that is being made, and the one that is to follow it. */
  #listing: Promise<boolean> | undefined
  #nextListing: Promise<boolean> | undefined
  readonly #processes = new ProcessWatch()
  /** Ends the watch of a container's process. */
  readonly #watched = new Map<string, { pid: number; stop: () => void }>()
  readonly #end = new AbortController()
  #first = deferred()
  #ingress: readonly IngressPort[] = []
  /** By performance.now(), milliseconds. */
  #ingressUntil = 0
  #listingIngress: Promise<readonly IngressPort[]> | undefined
  /** Why the engine is not connected. */
  #problem: Error | undefined
  #isConnected = false
  #client: EngineClient | undefined

  /** @param findHost where the engine is now; may throw EngineHostError */
  constructor(findHost: () => EngineHost, log: Log) {
    super()
    this.#findHost = findHost
    this.#log = log
    this.#first.promise.catch(() => undefined)
  }

  /** Whether the list is current. */
  get isConnected(): boolean {
    return this.#isConnected
  }

  /** The last known containers: the same array until one of them changes. */
  get all(): readonly Container[] {
    return (this.#list ??= [...this.#all.values()])
  }

  /** Whether `all` was ever complete. */
  get wasListed(): boolean {
    return this.#wasListed
  }

  /** By id, and by name. */
  get networks(): ReadonlyMap<string, EngineNetwork> {
    return this.#networks
  }

  readonly byId = (id: string): Container | undefined => this.#all.get(id)

  /** The running container that has an address. */
  runningOn(ip: string): Container | undefined {
    return this.all.find(
      ({ isRunning, networks }) =>
        isRunning && networks.some((network) => network.ip === ip || network.ip6 === ip),
    )
  }

  /** The ingress ports of a swarm that the engine manages; none if it can't be asked. */
  async ingressPorts(): Promise<readonly IngressPort[]> {
    if (!this.#client || !this.#isConnected) return []
    return listIngressPorts(this.#client).catch(() => [])
  }

  /**
   * `ingressPorts`, for many questions at once: as they were a second ago at most, and the last known ones while the engine does not answer.
   */
  async recentIngressPorts(): Promise<readonly IngressPort[]> {
    if (!this.#isConnected) return []
    if (performance.now() < this.#ingressUntil) return this.#ingress
    return (this.#listingIngress ??= this.#listIngress())
  }

  /** Never rejects, and takes a second at most. */
  async #listIngress(): Promise<readonly IngressPort[]> {
    const late = delay(INGRESS_WAIT_MS, undefined, { ref: false })
    const ports = await Promise.race([this.ingressPorts(), late])
    this.#ingress = ports ?? this.#ingress
    this.#ingressUntil = performance.now() + (ports ? INGRESS_AGE_MS : INGRESS_RETRY_MS)
    this.#listingIngress = undefined
    return this.#ingress
  }

  /** Lists all containers anew. Requests that come meanwhile share the next list. @returns false if the engine can't be asked */
  listAgain(): Promise<boolean> {
    this.#nextListing ??= (this.#listing ?? Promise.resolve(true)).then(() => {
      this.#nextListing = undefined
      this.#listing = this.#tryToList()
      return this.#listing
    })
    return this.#nextListing
  }

  /** Never rejects. */
  async #tryToList(): Promise<boolean> {
    if (!this.#client || !this.#isConnected) return false
    try {
      await this.#listAll(this.#client)
    } catch (err) {
      this.#log.debug(`Can't list the containers: ${errnoReason(err)}`)
      return false
    }
    this.emit('changed')
    return this.#isConnected
  }

  /** Where the engine is. @throws EngineHostError */
  get host(): EngineHost {
    return this.#client?.host ?? this.#findHost()
  }

  /** Resolves when the list is current. Rejects with the reason if the engine can't be asked. */
  async ready(): Promise<void> {
    if (this.#isConnected) return
    await this.#first.promise
  }

  /** Connects, and connects again whenever the connection ends. */
  start(): void {
    void this.#run()
  }

  close(): void {
    this.#end.abort()
    this.#first.reject(new Error('closed'))
    for (const { stop } of this.#watched.values()) stop()
    this.#watched.clear()
  }

  async #run(): Promise<void> {
    const { signal } = this.#end
    for (;;) {
      const reason = await this.#follow(signal).catch((err: unknown) => err as Error)
      if (signal.aborted) return
      this.#disconnected(reason ?? new Error('the connection has ended'))
      // The timer alone does not keep the process running.
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS).unref())
    }
  }

  /** Resolves when the connection ends. */
  async #follow(signal: AbortSignal): Promise<undefined> {
    const connection = new AbortController()
    const end = (): void => connection.abort()
    signal.addEventListener('abort', end)
    try {
      const host = this.#findHost()
      await refuseRemoteEngine(host)
      const client = new EngineClient(host)
      await client.connect()
      // Opened first, so that no change is lost between the list and the events.
      const events = await openEvents(client, connection.signal)
      this.#client = client
      await this.#listAll(client)
      this.#connected(host)
      for await (const event of events) this.#handle(client, event)
    } finally {
      signal.removeEventListener('abort', end)
      end()
    }
  }

  #connected(host: EngineHost): void {
    this.#ingressUntil = 0
    this.#isConnected = true
    this.#wasListed = true
    this.#problem = undefined
    this.#log.info(`Follows the containers of ${formatEngineHost(host)}`, {
      containers: this.#all.size,
    })
    this.#first.resolve()
    this.emit('changed')
  }

  #disconnected(err: Error): void {
    const wasConnected = this.#isConnected
    this.#isConnected = false
    const isNew = this.#problem?.message !== err.message
    this.#problem = err
    // Callers that wait for the list get the reason at once. Later callers wait for the next attempt.
    this.#first.reject(err)
    this.#first = deferred()
    this.#first.promise.catch(() => undefined)
    if (wasConnected) {
      this.#log.warn(`Lost the Docker Engine, and waits for it: ${errnoReason(err)}`)
      this.emit('changed')
    } else if (isNew && err instanceof EngineHostError) {
      this.#log.warn(`Containers are not followed: ${errnoReason(err)}`)
    } else if (isNew) {
      this.#log.info(`No Docker Engine yet: ${errnoReason(err)}`)
    }
  }

  async #listAll(client: EngineClient): Promise<void> {
    // A container that appears during the request is not in the list, and is not forgotten.
    const known = [...this.#all.keys()]
    const [ids] = await Promise.all([
      client.get<readonly { Id: string }[]>('/containers/json', { all: '1' }),
      this.#listNetworks(client),
    ])
    const listed = new Set(ids.map(({ Id: id }) => id))
    for (const id of known) if (!listed.has(id)) this.#forget(id)
    await Promise.all(
      [...listed].map((id) =>
        this.#inspect(client, id).catch((err: unknown) => {
          // One broken container, for which the engine answers with an error, does not keep the others from being known.
          if (!(err instanceof EngineError) || err.status === undefined) throw err
          this.#log.debug(`Can't inspect a container: ${errnoReason(err)}`, { container: id })
        }),
      ),
    )
  }

  async #listNetworks(client: EngineClient): Promise<void> {
    const networks =
      await client.get<
        readonly { Id: string; Name?: string; Driver?: string; Internal?: boolean }[]
      >('/networks')
    this.#networks.clear()
    for (const {
      Id: id,
      Name: name,
      Driver: driver = '',
      Internal: isInternal = false,
    } of networks) {
      // Podman has names in the place of ids, and lists its network `podman` as `bridge`.
      const names = name === undefined ? [] : name === 'bridge' ? [name, 'podman'] : [name]
      for (const each of [id, ...names]) this.#networks.set(each, { driver, isInternal })
    }
  }

  #handle(client: EngineClient, { containerId: id, kind, networkId }: EngineEvent): void {
    const container = this.#all.get(id)
    // At once, before another container can get the address.
    if (container && kind === 'ended') this.#ended(container)
    if (container && kind === 'left') {
      const networks = container.networks.filter(
        (network) => networkId !== undefined && network.id !== networkId,
      )
      this.#set(id, { ...container, networks })
      this.emit('changed')
    }
    this.#refresh(client, id)
  }

  #ended(container: Container): void {
    // An inspection under way may have seen it running.
    const refreshing = this.#refreshing.get(container.id)
    if (refreshing) refreshing.events++
    this.#set(container.id, { ...container, isRunning: false, pid: undefined })
    this.emit('changed')
  }

  /** Inspects a container soon, and again if that fails while the engine is there. */
  #refresh(client: EngineClient, id: string): void {
    this.#inspect(client, id).then(
      () => this.emit('changed'),
      (err: unknown) => {
        this.#log.debug(`Can't inspect a container: ${errnoReason(err)}`, { container: id })
        // The engine would refuse it again.
        if (err instanceof EngineError && (err.status ?? INTERNAL_ERROR) < INTERNAL_ERROR) return
        setTimeout(() => {
          if (this.#isConnected && this.#client === client) this.#refresh(client, id)
        }, RETRY_MS).unref()
      },
    )
  }

  /** Inspects a container, and again as long as events come meanwhile. Rejects with EngineError. */
  #inspect(client: EngineClient, id: string): Promise<void> {
    const running = this.#refreshing.get(id)
    if (running) {
      running.events++
      return running.done
    }
    const state = { events: 0, done: Promise.resolve() }
    this.#refreshing.set(id, state)
    state.done = this.#limit(async () => {
      try {
        let container: Container | undefined
        let seen: number
        do {
          seen = state.events
          container = await inspectContainer(client, id)
          if (container?.networks.some((network) => !this.#networks.has(network.id))) {
            await this.#listNetworks(client)
          }
        } while (state.events > seen)
        if (this.#client === client) this.#set(id, container)
      } finally {
        // In the same turn as the last look at the events: the next event begins another inspection.
        this.#refreshing.delete(id)
      }
    })
    return state.done
  }

  #set(id: string, container: Container | undefined): void {
    if (!container) return this.#forget(id)
    this.#all.set(id, container)
    this.#list = undefined
    this.#watchProcess(container)
  }

  #forget(id: string): void {
    this.#all.delete(id)
    this.#list = undefined
    this.#unwatch(id)
  }

  /** The kernel tells the end of a container's process before the engine does, and while there is no engine. */
  #watchProcess({ id, pid }: Container): void {
    const watched = this.#watched.get(id)
    if (watched?.pid === pid) return
    this.#unwatch(id)
    // In another process namespace, the number belongs to some other process.
    if (pid === undefined || processContainer(pid) !== id) return
    try {
      const stop = this.#processes.watch(pid, () => {
        this.#watched.delete(id)
        const container = this.#all.get(id)
        if (container?.pid === pid) this.#ended(container)
      })
      this.#watched.set(id, { pid, stop })
    } catch (err) {
      this.#log.debug(`Can't watch the process of a container: ${errnoReason(err)}`)
    }
  }

  #unwatch(id: string): void {
    this.#watched.get(id)?.stop()
    this.#watched.delete(id)
  }
}

/** @returns undefined if it does not exist. Rejects with EngineError. */
async function inspectContainer(client: EngineClient, id: string): Promise<Container | undefined> {
  try {
    return parseContainer(await client.get<InspectReply>(`/containers/${id}/json`))
  } catch (err) {
    if (err instanceof EngineError && err.isNotFound) return undefined
    throw err
  }
}
