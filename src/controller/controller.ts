import { EventEmitter } from 'node:events'
import { realpathSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { errnoReason } from '../linux/errno.js'
import { makeFolder } from '../linux/make-folder.js'
import type { Log } from '../log/log.js'
import type { Containers } from '../docker/containers.js'
import { Allocator, releasePort, type BoundPort } from '../ports/allocator.js'
import { checkPorts } from '../ports/check-ports.js'
import type { Claim, Claims } from '../ports/claims/claims.js'
import { MemoryClaims } from '../ports/claims/memory-claims.js'
import { connectionCounter, type Connection } from '../ports/connections.js'
import { formatHostPort, type HostPort } from '../ports/host-port.js'
import { parsePortSpecs, type PortRequest } from '../ports/port-spec.js'
import { Refusal } from '../ports/refusal.js'
import type { StopOptions } from '../proxy/engine.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import { killProcess } from '../supervisor/process-end.js'
import { endLeftovers } from '../supervisor/proxy-process.js'
import { ProxyStartError } from '../supervisor/reported-status.js'
import type { ProxyProgram } from '../supervisor/proxy-program.js'
import { lacksAddress } from '../linux/proc/network-addresses.js'
import { isAlive, type ProcessIdentity } from '../linux/proc/process-identity.js'
import { newProcessId, orphans, runtimeIds } from '../supervisor/runtime-record.js'
import { changedOptions } from './changed-options.js'
import { describeContainer, type ContainerView } from './container-view.js'
import { EngineClaims, nameContainer } from './engine-claims.js'
import { heldBy } from './held-by.js'
import { isShared } from './isolation.js'
import { Follower, type FollowerActions } from './follower.js'
import type { PublicationEvent } from './publication-event.js'
import { publicationHolder } from './publication-holder.js'
import { Nat } from './nat.js'
import { LabelPublisher, type LabelActions } from './label-publisher.js'
import {
  checkOptions,
  parseName,
  refuseForeignOptions,
  type PublicationRequest,
} from './publication-request.js'
import { Publication, type PublicationDescription } from './publication.js'
import type { LogRequest } from './publication-log.js'
import { Publications } from './publications.js'
import { refuseUnavailableNat, refuseUnreachable } from './refused-requests.js'
import { findBackend, type RequestedBackend } from './requested-backend.js'
import type { SavedPort, SavedPublication } from './saved-publication.js'
import type { StateFile } from './state-file.js'
import type { PublicationView } from './views.js'
import { viewRefused, viewWaiting } from './waiting-view.js'

export interface ControllerOptions {
  readonly program: ProxyProgram
  /** Where running processes are recorded: a folder of this controller alone. */
  readonly runFolder: string
  /** Without a state file, publications end with this process. */
  readonly state?: StateFile
  readonly log: Log
  /** Where claims of ports are kept; by default in memory. */
  readonly claims?: Claims
  /** The containers of this host; without them, publications keep their addresses. */
  readonly containers?: Containers
  /** The host IP of ports that name none; by default all addresses of both families. */
  readonly defaultIp?: string
}

/** Attempts to find a port for which a proxy can start; the same as in dockerd. */
const MAX_TRIES = 10
const OWNER_ONLY = 0o700

type AddProgress = (ready: number, ports: number) => void

/** The result of an upgrade. */
interface Upgrade {
  /** Processes that were replaced. */
  readonly processes: number
  /** Connections that stay in old processes. */
  readonly oldConnections: number
}

/** Manages all publications. */
export class Controller extends EventEmitter<{ event: [PublicationEvent] }> {
  readonly #options: ControllerOptions
  readonly #claims: Claims
  readonly #allocator: Allocator
  readonly #publications: Publications
  readonly #nat: Nat
  /** The changes of options so far, one after the other. */
  #sets: Promise<unknown> = Promise.resolve()
  /** Publications that are being withdrawn. */
  readonly #ending = new WeakMap<Publication, Promise<void>>()
  readonly #follower: Follower | undefined
  readonly #labels: LabelPublisher | undefined
  /** Whether this controller has given its publications up. */
  #isClosed = false

  constructor(options: ControllerOptions) {
    super()
    // Each reader of the events is a listener.
    this.setMaxListeners(0)
    makeFolder(options.runFolder, OWNER_ONLY)
    // Processes are found by the path of their folder, so the path must always be the same.
    this.#options = { ...options, runFolder: realpathSync(options.runFolder) }
    const { containers, log, state, claims = new MemoryClaims() } = options
    this.#publications = new Publications(state, log)
    this.#claims = containers ? new EngineClaims(claims, containers) : claims
    this.#allocator = new Allocator(this.#claims)
    this.#nat = new Nat(this.#options.runFolder, containers, log)
    if (!containers) return
    this.#follower = new Follower(containers, this.#followerActions(), log)
    this.#labels = new LabelPublisher(containers, this.#labelActions(), log)
  }

  /** The containers of this host; undefined if no engine is followed. */
  get containers(): Containers | undefined {
    return this.#options.containers
  }

  /** Continues the publications of an earlier daemon, and ends processes that belong to none. */
  async restore(): Promise<void> {
    const { runFolder, state } = this.#options
    const saved = state?.load() ?? []
    refuseForeignOptions(saved, this.#options.program)
    const known = new Set(
      saved.flatMap(({ shared, ports, retired = [] }) => [
        shared,
        ...[...ports, ...retired].map(({ id }) => id),
      ]),
    )
    const strays = runtimeIds(runFolder).filter((id) => !known.has(id))
    await Promise.all(strays.map((id) => endLeftovers(runFolder, id)))
    // They would hold their ports against their own successors.
    await Promise.all(orphans(runFolder).map(killProcess))
    this.#nat.beginRestoring()
    for (const { ports, retired, ...description } of saved.map(withoutLostAddresses)) {
      const publication = this.#create(description)
      const claim = (port: SavedPort): Promise<Claim> => this.#claimSaved(publication, port)
      await publication.restore(ports, claim, retired)
      this.#publications.complete(publication)
      if (publication.follows) await publication.orderBackends()
    }
    await this.#nat.restore(saved.filter(({ via }) => via === 'nat').flatMap(({ ports }) => ports))
  }

  /**
   * Publishes ports of a container: all of them, or none.
   * @param onProgress called with the number of ports that are served so far, and of all
   * Rejects with PortSpecError, RequestError, or Refusal.
   */
  async add(
    request: PublicationRequest,
    onProgress: AddProgress = () => undefined,
  ): Promise<PublicationView> {
    return this.#add(request, undefined, onProgress)
  }

  /** @param labels the label that asks for the publication; undefined if a user does */
  async #add(
    request: PublicationRequest,
    labels: string | undefined,
    onProgress: AddProgress,
  ): Promise<PublicationView> {
    const requests = await parsePortSpecs(request.ports, this.#options.defaultIp)
    const name = parseName(request.name)
    const protocols = requests.map(({ protocol }) => protocol)
    const options = checkOptions(request, protocols, this.#options.program)
    const backend = await this.#findBackend(request, labels)
    if (request.via === 'nat') await refuseUnavailableNat(this.#nat, backend, this.containers)
    const shared = isShared(request.isolation ?? 'auto', requests.length, this.#options.program)
    for (let tries = 1; ; tries++) {
      try {
        return await this.#publish(
          requests,
          name,
          { ...backend, ...viaOf(request), options },
          shared,
          onProgress,
        )
      } catch (err) {
        if (tries === MAX_TRIES || !lostPort(err) || !requests.some(hasChoice)) {
          throw await nameContainer(err, this.containers)
        }
      }
    }
  }

  /** Finds the ports that `add` would bind now. Rejects as `add` would. */
  async check(ports: readonly string[]): Promise<HostPort[]> {
    try {
      return await checkPorts(ports, this.#allocator, this.#options.defaultIp)
    } catch (err) {
      throw await nameContainer(err, this.containers)
    }
  }

  /** Describes a container and its ports. Rejects with Refusal if there is no such container, or no engine answers. */
  container(name: string): Promise<ContainerView> {
    const publications = this.#publications.completed.map(({ saved }) => saved)
    return describeContainer(name, this.containers, publications)
  }

  /** All publications, and the containers whose labels ask for ports that they did not get. */
  async list(): Promise<PublicationView[]> {
    const count = connectionCounter()
    const views = await Promise.all(
      this.#publications.all.map((publication) => publication.view(count)),
    )
    return [...views, ...(await this.#unpublished())]
  }

  /** Rejects with Refusal if there is no publication of this name. */
  async get(name: string): Promise<PublicationView> {
    if (!this.#publications.has(name)) {
      const unpublished = (await this.#unpublished()).find((view) => view.name === name)
      if (unpublished) return unpublished
    }
    return this.#publications.find(name).view(connectionCounter())
  }

  /** The open TCP connections of a publication's clients. @throws Refusal if there is no publication of this name */
  connections(name: string): Connection[] {
    return this.#publications.find(name).connections()
  }

  /** The log of a publication's processes, as lines of JSON. @throws Refusal if there is no publication of this name, or RequestError */
  log(name: string, request: LogRequest): Readable {
    return this.#publications.find(name).log(request)
  }

  /** The containers whose labels ask for ports that they did not get. */
  async #unpublished(): Promise<PublicationView[]> {
    const { waiting = [], refused = [] } = this.#labels ?? {}
    const views = waiting.map((each) => viewWaiting(each, this.#options.defaultIp))
    return [...(await Promise.all(views)), ...refused.map(viewRefused)]
  }

  /** Withdraws a publication, and ends the wait of a container for its name. Rejects with Refusal; the publication then still exists. */
  async remove(name: string, options?: StopOptions): Promise<void> {
    if (this.#labels?.dismissName(name)) {
      this.#emit({ type: 'withdrawn', publication: name })
      if (!this.#publications.has(name)) return
    }
    const publication = this.#publications.find(name)
    const { follows } = publication
    if (follows?.labels !== undefined && follows.target.kind === 'container') {
      this.#labels?.dismiss(follows.target.id)
    }
    await this.#remove(publication, options)
  }

  /**
   * Changes options of a publication. Those that are not named stay.
   * Rejects with RequestError, or with Refusal; the publication then keeps its options.
   */
  set(name: string, changes: PortOptionTexts): Promise<PublicationView> {
    const changed = this.#sets.then(() => this.#set(name, changes))
    this.#sets = changed.catch(() => undefined)
    return changed
  }

  async #set(name: string, changes: PortOptionTexts): Promise<PublicationView> {
    const publication = this.#publications.find(name)
    if (!this.#publications.isComplete(publication)) throw busyError(name)
    const before = publication.options
    publication.options = changedOptions(publication.saved, changes, this.#options.program)
    try {
      this.#publications.save()
      await publication.orderOptions()
    } catch (err) {
      publication.options = before
      this.#publications.saveSoon()
      publication.orderOptions().catch(() => undefined)
      if (err instanceof Refusal) throw err
      const message = `${name} keeps its options: ${errnoReason(err)}`
      throw new Refusal('proxy-failed', message, {}, { cause: err })
    }
    this.#emit({ type: 'changed', publication: name })
    return this.get(name)
  }

  /**
   * Replaces the processes of a publication by those of the installed program. No client notices it.
   * @param drainMs when connections that are still open are cut, milliseconds; Infinity for never
   * Rejects with Refusal if a process could not be replaced.
   */
  upgrade(name: string, drainMs: number): Promise<Upgrade> {
    const upgraded = this.#sets.then(() => this.#upgrade(name, drainMs))
    this.#sets = upgraded.catch(() => undefined)
    return upgraded
  }

  async #upgrade(name: string, drainMs: number): Promise<Upgrade> {
    const publication = this.#publications.find(name)
    if (!this.#publications.isComplete(publication)) throw busyError(name)
    const save = (): void => this.#publications.save()
    // A state that can't be saved is refused before any process is replaced.
    save()
    const processes = await publication.upgrade(drainMs, save).catch((err: unknown) => {
      throw new Refusal('proxy-failed', `${name}: ${errnoReason(err)}`, {}, { cause: err })
    })
    this.#emit({ type: 'upgraded', publication: name })
    const { ports } = await publication.view(connectionCounter())
    const oldConnections = ports.reduce((sum, port) => sum + (port.oldConnections ?? 0), 0)
    return { processes, oldConnections }
  }

  /** Has all proxies read the settings file again. A failure is logged. */
  async readSettingsAgain(): Promise<void> {
    const { log } = this.#options
    let failures = 0
    for (const publication of this.#publications.all) {
      await publication.orderOptions().catch((err: unknown) => {
        failures++
        log.error(`${publication.name} keeps its options: ${errnoReason(err)}`)
      })
    }
    if (failures === 0) log.info('The proxies have read their settings again')
  }

  async #remove(publication: Publication, options?: StopOptions): Promise<void> {
    const { name } = publication
    if (!this.#publications.withdraw(publication)) {
      const ending = this.#ending.get(publication)
      if (!ending) throw busyError(name)
      // The time may be a shorter one.
      await publication.hurry(options)
      return ending
    }
    try {
      this.#publications.save()
    } catch (err) {
      this.#publications.complete(publication)
      throw err
    }
    const ended = this.#end(publication, options)
    this.#ending.set(publication, ended)
    await ended
  }

  async #end(publication: Publication, options?: StopOptions): Promise<void> {
    await publication.stop(options)
    this.#publications.forget(publication)
    this.#emit({ type: 'withdrawn', publication: publication.name })
    // A container may wait for the port.
    this.#labels?.look()
  }

  /** Ends all proxies, and frees their ports. The state file keeps the publications for the next daemon. */
  async close(options?: StopOptions): Promise<void> {
    this.#giveUp()
    const { all } = this.#publications
    await Promise.all(all.map((publication) => publication.stop(options)))
    await this.#nat.close()
    for (const publication of all) this.#publications.forget(publication)
  }

  /** Leaves all processes to the next daemon. Publications under way are withdrawn. */
  async leave(): Promise<void> {
    this.#giveUp()
    const { all, completed } = this.#publications
    for (const publication of completed) publication.leave()
    const incomplete = all.filter((each) => !this.#publications.isComplete(each))
    await Promise.all(incomplete.map((publication) => publication.stop()))
    await this.#nat.leave()
  }

  #giveUp(): void {
    this.#isClosed = true
    this.#publications.freeze()
    this.#labels?.close()
  }

  async #publish(
    requests: readonly PortRequest[],
    name: string,
    backend: RequestedBackend & Pick<SavedPublication, 'via' | 'options'>,
    shared: boolean,
    onProgress: AddProgress,
  ): Promise<PublicationView> {
    this.#publications.refuseTakenName(name)
    const description: PublicationDescription = {
      ...{ name, ...backend, created: new Date().toISOString() },
      ...(shared ? { shared: newProcessId() } : {}),
    }
    const bound = await this.#allocator.allocate(requests, (port, containerPort) =>
      publicationHolder(description, port, containerPort),
    )
    const publication = await this.#register(description, bound)
    try {
      await publication.start(bound, (ready) => onProgress(ready, bound.length))
      if (this.#isClosed) throw new Refusal('busy', 'the daemon is ending: try again')
      this.#publications.complete(publication)
      // The container may have moved since it was looked up.
      await this.#follower?.compare(publication)
      this.#publications.save()
    } catch (err) {
      // Before anything is awaited, so that another publication's save does not keep it.
      this.#publications.withdraw(publication)
      await publication.stop()
      this.#publications.forget(publication)
      throw err
    }
    this.#emit({ type: 'published', publication: publication.name })
    return publication.view(connectionCounter())
  }

  /**
   * Names and registers a publication whose ports are bound.
   * Rejects with Refusal if its name was taken meanwhile, or with RequestError or Refusal if its ports can't lead to the backend. The ports
   * are free then.
   */
  async #register(
    description: PublicationDescription,
    bound: readonly BoundPort[],
  ): Promise<Publication> {
    try {
      this.#publications.refuseTakenName(description.name)
      refuseUnreachable(bound, description)
    } catch (err) {
      await Promise.all(bound.map(releasePort))
      throw err
    }
    return this.#create({
      ...description,
      name: description.name || this.#publications.nameFor(bound),
    })
  }

  #create(description: PublicationDescription): Publication {
    const { program, runFolder, log } = this.#options
    const onEvent = (event: Omit<PublicationEvent, 'time'>): void => this.#emit(event)
    const onChange = (): void => this.#publications.saveSoon()
    const context = { program, runFolder, log, nat: this.#nat, onEvent, onChange }
    const publication = new Publication(description, context)
    this.#publications.begin(publication)
    return publication
  }

  /** Claims a port of an earlier daemon. Rejects with Error if another publication in the state file has it as well. */
  async #claimSaved(publication: Publication, saved: SavedPort): Promise<Claim> {
    const { protocol, ip, port } = saved
    const hostPort = { protocol, ip, port }
    const holder = publicationHolder(publication.description, hostPort, saved.containerPort)
    const { claim } = await this.#claims.claim(hostPort, holder)
    if (claim) return claim
    throw new Error(`the state has ${formatHostPort(hostPort)} more than once`)
  }

  async #findBackend(
    request: PublicationRequest,
    labels: string | undefined,
  ): Promise<RequestedBackend> {
    const backend = await findBackend(request, this.containers)
    const { follows } = backend
    if (!follows || labels === undefined) return backend
    return { ...backend, follows: { ...follows, labels } }
  }

  #followerActions(): FollowerActions {
    return {
      publications: () => this.#publications.completed,
      changed: (publication, hasMoved) => {
        if (hasMoved) this.#emit(movedEvent(publication))
        if (this.#publications.isComplete(publication)) this.#publications.saveSoon()
      },
      lost: async ({ name }) => {
        await this.#remove(this.#publications.find(name))
        this.#options.log.info(`${name} is withdrawn, because its container was removed`)
      },
    }
  }

  #labelActions(): LabelActions {
    return {
      publications: () => this.#publications.all,
      add: (request, labels) => this.#add(request, labels, () => undefined),
      remove: (publication) => this.#remove(publication),
      waits: ({ request: { name = '' }, reason, holder }) =>
        this.#emit({ type: 'waiting', publication: name, reason: heldBy(reason, holder) }),
      refused: ({ name, reason }) => this.#emit({ type: 'refused', publication: name, reason }),
    }
  }

  #emit(event: Omit<PublicationEvent, 'time'>): void {
    this.emit('event', { time: new Date().toISOString(), ...event })
  }
}

function busyError(name: string): Refusal {
  return new Refusal('busy', `${name} is being published or withdrawn: try again`)
}

function movedEvent({ name, description, why }: Publication): Omit<PublicationEvent, 'time'> {
  const backend = description.backends.map(({ ip }) => ip).join(', ')
  if (backend !== '') return { type: 'moved', publication: name, backend }
  return { type: 'suspended', publication: name, ...(why === undefined ? {} : { reason: why }) }
}

function viaOf({ via }: PublicationRequest): Pick<SavedPublication, 'via'> {
  return via === 'nat' ? { via } : {}
}

/** Drops addresses that containers have lost while no daemon was running. Other containers may have them. */
function withoutLostAddresses(saved: SavedPublication): SavedPublication {
  if (!saved.follows) return saved
  const backends = saved.backends.filter(({ ip, process }) => process && hasStill(process, ip))
  return { ...saved, backends }
}

function hasStill(process: ProcessIdentity, ip: string): boolean {
  try {
    return !lacksAddress(process.pid, ip) && isAlive(process)
  } catch {
    return false // It has ended.
  }
}

/** Whether another port may work as well. */
function hasChoice({ hostPorts }: PortRequest): boolean {
  return hostPorts === undefined || hostPorts.first < hostPorts.last
}

/** Whether a proxy that binds its port itself has found the port taken, for example by an outgoing connection. */
function lostPort(err: unknown): boolean {
  if (!(err instanceof Refusal && err.cause instanceof ProxyStartError)) return false
  return err.cause.systemCode === 'EADDRINUSE'
}
