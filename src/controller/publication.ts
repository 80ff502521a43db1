import type { Readable } from 'node:stream'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { BoundPort } from '../ports/allocator.js'
import type { Claim } from '../ports/claims/claims.js'
import { listConnections, type Connection, type CountConnections } from '../ports/connections.js'
import { Refusal } from '../ports/refusal.js'
import type { StopOptions } from '../proxy/engine.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import { formatTarget, projectOf, targetOf } from '../docker/container-target.js'
import type { TargetState } from '../docker/target-backends.js'
import type { BackendList, ListedBackend } from '../status/backend-list.js'
import type { ContainerWatch } from '../status/container-watch.js'
import { refuseUnretirable } from '../status/proxy-orders.js'
import { inParallel } from '../supervisor/in-parallel.js'
import type { ProxyProcess } from '../supervisor/proxy-process.js'
import { PortServer, type ServedPort, type ServerContext } from '../supervisor/port-server.js'
import type { ProxyProgram } from '../supervisor/proxy-program.js'
import { RetiredProcesses, type RetiredProcess } from '../supervisor/retired-processes.js'
import { newProcessId } from '../supervisor/runtime-record.js'
import { listBackends } from './listed-backends.js'
import { HOLD_MS, type Following } from './following.js'
import type { Isolation } from './isolation.js'
import type { PublicationEvent } from './publication-event.js'
import type { Nat } from './nat.js'
import { oldConnectionCounter, viewPorts } from './port-views.js'
import { PublicationLog, type LogRequest } from './publication-log.js'
import { publicationHolder } from './publication-holder.js'
import { RequestError } from './request-error.js'
import { natRefusal } from './refuse-nat.js'
import type { SavedPort, SavedPublication } from './saved-publication.js'
import { translatedPorts } from './translated-ports.js'
import type { Via } from './via.js'
import type { PortView, PublicationView } from './views.js'

/** Processes of a publication that start at the same time. On few cores, more would only wait for each other. */
const STARTS_AT_ONCE = 4
/** Processes that are asked for their status at the same time. */
const REQUESTS_AT_ONCE = 32

/** The services of a controller for its publications. */
export interface PublicationContext {
  readonly program: ProxyProgram
  readonly runFolder: string
  readonly log: Log
  readonly nat: Nat
  readonly onEvent: (event: Omit<PublicationEvent, 'time'>) => void
  /** Called when the state file has to be saved again. */
  readonly onChange: () => void
}

/** A publication without its ports. */
export type PublicationDescription = Omit<SavedPublication, 'ports' | 'retired'>

/** Ports of one container that are published together: all of them, or none. */
export class Publication {
  readonly name: string
  /** ISO 8601. */
  readonly created: string
  readonly #context: PublicationContext
  /** Names the files of the one process that serves all ports. */
  readonly #shared: string | undefined
  readonly #via: Via
  /** Keeps rules away from addresses that containers have lost, also while the engine does not tell; undefined without rules. */
  readonly #watch: ContainerWatch | undefined
  #options: PortOptionTexts
  #backends: readonly ListedBackend[]
  #follows: Following | undefined
  /** What is known of the followed container. */
  #target: TargetState | undefined
  #servers: readonly PortServer[] = []
  readonly #retired: RetiredProcesses
  readonly #log = new PublicationLog(
    () => this.#servers,
    () => this.#retired.statusSockets,
  )

  constructor(
    { name, backends, follows, created, shared, via, options = {} }: PublicationDescription,
    context: PublicationContext,
  ) {
    this.name = name
    this.created = created
    this.#backends = backends
    this.#follows = follows
    this.#shared = shared
    this.#via = via ?? 'proxy'
    this.#options = options
    this.#context = context
    const { runFolder, log, nat, onChange } = context
    if (via === 'nat') {
      this.#watch = nat.watchContainers(({ backends: left }) => {
        // A failure is reported, and the change is tried again.
        this.#translateTo(left).catch(() => undefined)
      })
    }
    this.#retired = new RetiredProcesses(runFolder, log, onChange)
  }

  /** Where the publication forwards to, for people: the container that it follows, or an address. */
  get destination(): string {
    return this.#follows ? formatTarget(this.#follows.target) : this.#ips.join(', ')
  }

  /** Why no client gets through at present. */
  get why(): string | undefined {
    return this.#target?.why
  }

  /** Undefined if the publication keeps its address. */
  get follows(): Following | undefined {
    return this.#follows
  }

  /**
   * Takes over where the followed container is now. The caller saves the state.
   * @returns `moved`: the caller orders the proxies to forward there
   */
  follow(target: TargetState): 'same' | 'changed' | 'moved' {
    const follows = this.#follows
    if (!follows) return 'same'
    const [backends, before] = [JSON.stringify(this.#backends), JSON.stringify(this.description)]
    this.#target = target
    if (target.container) this.#follows = { ...follows, target: targetOf(target.container) }
    this.#backends = listBackends(target)
    if (JSON.stringify(this.#backends) !== backends) return 'moved'
    return JSON.stringify(this.description) === before ? 'same' : 'changed'
  }

  /** Orders the proxies and the kernel to forward to the current addresses. */
  async orderBackends(): Promise<void> {
    await Promise.all([
      // A failure is reported, and the change is tried again.
      this.#translate().catch(() => undefined),
      inParallel(REQUESTS_AT_ONCE, this.#servers, (server) => server.changeBackends()),
      this.#retired.changeBackends(this.#backendList),
      describeClaims(
        this,
        this.#servers.flatMap(({ ports }) => ports),
      ),
    ])
  }

  /** The options of each port, by name. The caller saves a change, and orders the proxies to follow. */
  get options(): PortOptionTexts {
    return this.#options
  }

  set options(options: PortOptionTexts) {
    this.#options = options
  }

  /** Orders the proxies to follow the current options, and to read the settings file again. Rejects if one can't. */
  async orderOptions(): Promise<void> {
    // A process that is starting may have read the file before: for it, these are other options.
    this.#options = { ...this.#options }
    await inParallel(REQUESTS_AT_ONCE, this.#servers, (server) => server.changeOptions())
    await this.#retired.changeOptions(this.#options)
  }

  /**
   * Serves ports that are bound. The publication owns them from now on.
   * Rejects with Refusal if a process does not get ready, with the ProxyStartError as its cause, or if the firewall can't be changed. The
   * caller then calls `stop`.
   * @param onReady called with the number of ports that are served so far
   */
  async start(
    bound: readonly BoundPort[],
    onReady: (ready: number) => void = () => undefined,
  ): Promise<void> {
    const ports = bound.map((port): ServedPort => ({ ...port, id: newProcessId() }))
    this.#servers = this.#divide(ports).map(({ id, ports: own }) =>
      this.#observe(new PortServer(this.#serverContext, id, own, this.isolation === 'shared')),
    )
    await describeClaims(this, ports)
    try {
      let ready = 0
      await inParallel(STARTS_AT_ONCE, this.#servers, async (server) => {
        await server.start()
        ready += server.ports.length
        onReady(ready)
      })
    } catch (err) {
      const message = `can't start the proxy: ${errnoReason(err)}`
      throw new Refusal('proxy-failed', message, {}, { cause: err })
    }
    try {
      await this.#translate()
    } catch (err) {
      throw natRefusal((err as Error).message, { cause: err })
    }
  }

  /**
   * Continues where an earlier daemon has stopped: processes that still run are adopted, all others started.
   * @param claim claims a port
   */
  async restore(
    saved: readonly SavedPort[],
    claim: (port: SavedPort) => Promise<Claim>,
    retired: readonly RetiredProcess[] = [],
  ): Promise<void> {
    await this.#retired.restore(retired)
    const ports: ServedPort[] = []
    for (const port of saved) ports.push({ ...port, claim: await claim(port) })
    const isShared = this.isolation === 'shared'
    this.#servers = await inParallel(
      STARTS_AT_ONCE,
      this.#divide(ports),
      async ({ id, ports: own }) => {
        const restored = await PortServer.restore(this.#serverContext, id, own, isShared)
        if (restored.isAdopted) this.#emit('adopted', restored.server)
        return this.#observe(restored.server)
      },
    )
    // The controller puts the rules of all publications in place at once.
    await this.#translate()
  }

  get isolation(): Isolation {
    return this.#shared === undefined ? 'process' : 'shared'
  }

  /** The form in which the state file keeps it. */
  get saved(): SavedPublication {
    const isShared = this.#shared !== undefined
    const shared = isShared ? { shared: this.#servers[0]?.id ?? this.#shared } : {}
    const ports = this.#servers.flatMap((server) =>
      server.ports.map(({ id, protocol, ip, port, containerPort }) => ({
        ...{ id: isShared ? id : server.id, protocol, ip, port, containerPort },
      })),
    )
    const { saved: retired } = this.#retired
    return { ...this.description, ...shared, ports, ...(retired.length > 0 ? { retired } : {}) }
  }

  /**
   * Replaces the processes by those of the installed program. No client notices it: the old ones end with the last of their connections.
   * @param drainMs the time that these have, milliseconds; Infinity for no limit
   * @param save saves the state
   * @returns the number of processes that were replaced
   * Rejects with the reason if one could not be replaced. The others are.
   */
  async upgrade(drainMs: number, save: () => void): Promise<number> {
    if (!this.#context.program.isOurs) {
      throw new Error("docker-proxies of another program can't be replaced")
    }
    // A process that is started later is one of the installed program.
    const running = this.#servers.filter(({ supervisor }) => supervisor.status.state === 'up')
    const results = await inParallel(STARTS_AT_ONCE, running, async (server) => {
      try {
        await this.#replace(server, drainMs, save)
        return undefined
      } catch (err) {
        return `${server.name}: ${errnoReason(err)}`
      }
    })
    const failures = results.filter((result) => result !== undefined)
    if (failures.length > 0) throw new Error(failures.join('; '))
    return running.length
  }

  async #replace(server: PortServer, drainMs: number, save: () => void): Promise<void> {
    await refuseUnretirable(server.statusSocket)
    const { id } = server
    const nextId = newProcessId()
    // If this daemon ends now, the next one has the successor retire.
    this.#retired.reserve(nextId)
    let predecessor: ProxyProcess
    try {
      save()
      predecessor = await server.succeed(nextId)
    } finally {
      this.#retired.release(nextId)
    }
    const until = drainMs < Infinity ? { until: Date.now() + drainMs } : {}
    const retired = { id, ...until }
    this.#retired.add(retired, predecessor)
    try {
      save()
    } catch {
      this.#context.onChange()
    }
    // A change during the launch went to the successor alone.
    await this.#retired.changeBackends(this.#backendList)
    try {
      await this.#retired.retire(retired)
    } catch (err) {
      await predecessor.stop()
      const reason = errnoReason(err)
      throw new Error(`replaced, and its open connections were cut: ${reason}`, { cause: err })
    }
  }

  /** The log of its processes, as lines of JSON. @throws RequestError if they keep none */
  log(request: LogRequest): Readable {
    if (!this.#context.program.isOurs) {
      throw new RequestError(
        'docker-proxies of another program keep no log of their own: read the one of the daemon',
      )
    }
    return this.#log.read(request)
  }

  /** The open TCP connections of its clients. */
  connections(): Connection[] {
    return listConnections(this.#servers.flatMap(({ ports }) => ports))
  }

  async view(countConnections: CountConnections): Promise<PublicationView> {
    const views = await inParallel(REQUESTS_AT_ONCE, this.#servers, (server) =>
      viewPorts(server, countConnections),
    )
    const oldConnectionsOf = oldConnectionCounter(await this.#retired.statuses())
    const { name, created, isolation } = this
    const via = (port: PortView): Via =>
      this.#via === 'nat' &&
      this.#context.nat.translates({ ...port, ip: port.hostIp, port: port.hostPort })
        ? 'nat'
        : 'proxy'
    return {
      ...{ name, backend: this.#ips.join(', '), created, isolation, via: this.#via },
      ...this.#followingView(),
      ...this.#optionsView(),
      ports: views.flat().map((port) => ({ ...port, ...oldConnectionsOf(port), via: via(port) })),
    }
  }

  /** Withdraws all ports. Each is free when this resolves. */
  async stop(options?: StopOptions): Promise<void> {
    this.#watch?.stop()
    // A failure is reported, and the change is tried again.
    await this.#context.nat.remove(this.name).catch(() => undefined)
    await this.hurry(options)
    this.#log.stop()
    const ports = this.#servers.flatMap((server) => server.ports)
    await Promise.all(ports.map(({ claim }) => claim.release()))
  }

  /** Ends the processes, or after `stop` gives their open connections another time. Resolves when they have ended. */
  async hurry(options?: StopOptions): Promise<void> {
    const ends = this.#servers.map(({ supervisor }) => supervisor.stop(options))
    await Promise.all([...ends, this.#retired.stop(options)])
  }

  /** Leaves the processes running, for another daemon to adopt. */
  leave(): void {
    for (const { supervisor } of this.#servers) supervisor.leave()
  }

  get #serverContext(): ServerContext {
    const { program, runFolder, log } = this.#context
    return {
      ...{ program, runFolder, log, publication: this.name, options: () => this.#options },
      backends: () => this.#backendList,
      closesPorts: this.#follows?.whenStopped === 'close-port',
      ...(this.#via === 'nat' && { chain: this.#context.nat.chainOf(this.name) }),
    }
  }

  async #translate(): Promise<void> {
    if (this.#watch) await this.#translateTo(this.#watch.watch(this.#backendList).backends)
  }

  async #translateTo(backends: readonly ListedBackend[]): Promise<void> {
    const ports = this.#servers.flatMap((server) => server.ports)
    const ips = backends.map(({ ip }) => ip)
    await this.#context.nat.set(this.name, translatedPorts(ports, ips))
  }

  get #ips(): string[] {
    return this.#backends.map(({ ip }) => ip)
  }

  get #backendList(): BackendList {
    return { backends: this.#backends, holdMs: this.#follows?.whenStopped === 'hold' ? HOLD_MS : 0 }
  }

  /** Without the ports, of which there may be thousands. */
  get description(): Omit<PublicationDescription, 'shared'> {
    return {
      ...{ name: this.name, backends: this.#backends, created: this.created },
      ...(this.#follows ? { follows: this.#follows } : {}),
      ...(this.#via === 'nat' ? { via: 'nat' as const } : {}),
      ...this.#optionsView(),
    }
  }

  #optionsView(): { options?: PortOptionTexts } {
    return Object.keys(this.#options).length > 0 ? { options: this.#options } : {}
  }

  #followingView(): Partial<PublicationView> {
    if (!this.#follows) return {}
    const { target, network, whenStopped, keep } = this.#follows
    const { state = 'unknown', why } = this.#target ?? {}
    const project = projectOf(target)
    return {
      container: formatTarget(target),
      ...(project === undefined ? {} : { project }),
      ...{ containerState: state, whenStopped, keep },
      ...(network === undefined ? {} : { network }),
      ...(why === undefined ? {} : { why }),
    }
  }

  /** Divides the ports among processes. `id` names the process's files. */
  #divide(ports: readonly ServedPort[]): { id: string; ports: readonly ServedPort[] }[] {
    if (this.#shared !== undefined) return [{ id: this.#shared, ports }]
    return ports.map((port) => ({ id: port.id, ports: [port] }))
  }

  #observe(server: PortServer): PortServer {
    server.supervisor.on('exited', (reason) => this.#emit('proxy-exited', server, reason))
    server.supervisor.on('restarted', () => this.#emit('proxy-restarted', server))
    return server
  }

  #emit(type: PublicationEvent['type'], server: PortServer, reason?: string): void {
    const event = { type, publication: this.name, port: server.name }
    this.#context.onEvent(reason === undefined ? event : { ...event, reason })
  }
}

/** Names a publication as the holder of its ports. */
async function describeClaims(
  publication: Publication,
  ports: readonly ServedPort[],
): Promise<void> {
  for (const port of ports) {
    await port.claim.describe(publicationHolder(publication.description, port, port.containerPort))
  }
}
