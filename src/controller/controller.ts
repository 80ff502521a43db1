import { randomUUID } from 'node:crypto'
import { EventEmitter } from 'node:events'
import { realpathSync } from 'node:fs'
import { isIP } from 'node:net'
import { REASONS } from '../linux/errno.js'
import { makeFolder } from '../linux/make-folder.js'
import type { Log } from '../log/log.js'
import { parseIp } from '../proxy/go-values.js'
import { joinHostPort } from '../proxy/published-port.js'
import { Allocator, type BoundPort } from './allocator.js'
import type { PublicationEvent, PublicationRequest, PublicationView } from './api/types.js'
import { checkPorts } from './check.js'
import type { Claim } from './claim.js'
import { Refusal } from './conflict.js'
import { connectionCounter } from './connections.js'
import type { Holder } from './holder.js'
import { parsePortSpec, type PortRequest } from './port-spec.js'
import { PortTable } from './port-table.js'
import { endLeftovers } from './proxy-process.js'
import type { ProxyProgram } from './proxy-program.js'
import { Publication } from './publication.js'
import { RequestError } from './request-error.js'
import { runtimeIds } from './runtime-record.js'
import type { SavedPublication, StateFile } from './state-file.js'

export interface ControllerOptions {
  readonly program: ProxyProgram
  /** Where the running proxies are noted: a folder of this controller alone. */
  readonly runFolder: string
  /** Left out, nothing is kept: the publications go with this process. */
  readonly state?: StateFile
  readonly log: Log
}

/** A publication before it has its ports. */
type Description = Omit<SavedPublication, 'ports'>

/** So many ports have a process each, where nothing else was asked for. */
const MAX_APART = 16
/** As docker names its containers. */
/** As often as dockerd tries to find a port for which a proxy can start. */
const MAX_TRIES = 10

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/

/** All that is published here. */
export class Controller extends EventEmitter<{ event: [PublicationEvent] }> {
  readonly #options: ControllerOptions
  readonly #table = new PortTable()
  readonly #allocator = new Allocator(this.#table)
  /** Those under way included, so that no two get one name. */
  readonly #publications = new Map<string, Publication>()
  readonly #complete = new Set<Publication>()

  constructor(options: ControllerOptions) {
    super()
    // Each reader of the events is one.
    this.setMaxListeners(0)
    makeFolder(options.runFolder, 0o700)
    // However it is spelled, the proxies in it must be found again.
    this.#options = { ...options, runFolder: realpathSync(options.runFolder) }
  }

  /** Takes up what an earlier daemon had published, and ends what is nobody's. */
  async restore(): Promise<void> {
    const saved = this.#options.state?.load() ?? []
    const known = new Set(
      saved.flatMap(({ shared, ports }) => [shared, ...ports.map(({ id }) => id)]),
    )
    const strays = runtimeIds(this.#options.runFolder).filter((id) => !known.has(id))
    await Promise.all(strays.map((id) => endLeftovers(this.#options.runFolder, id)))
    for (const each of saved) {
      const publication = this.#create(each)
      await publication.restore(each.ports, (claim, containerPort) =>
        this.#table.hold(claim, holderOf(publication, claim, containerPort)),
      )
      this.#complete.add(publication)
    }
  }

  /**
   * Publishes ports of a container: all of them, or none.
   * Rejects with PortSpecError, RequestError, or Refusal.
   */
  async add(request: PublicationRequest): Promise<PublicationView> {
    const requests = request.ports.flatMap(parsePortSpec)
    const backend = readBackend(request.backend)
    const name = request.name ?? ''
    if (request.name !== undefined && !NAME.test(name)) {
      throw new RequestError(
        `invalid name ${JSON.stringify(name)}: expected a letter or digit, then letters, digits, "_", "." or "-", 128 in all at most`,
      )
    }
    const isShared = this.#isShared(request.isolation ?? 'auto', requests.length)
    for (let tries = 1; ; tries++) {
      try {
        return await this.#publish(requests, name, backend, isShared)
      } catch (err) {
        if (tries === MAX_TRIES || !hasLostRace(err) || !requests.some(leavesChoice)) throw err
      }
    }
  }

  async #publish(
    requests: readonly PortRequest[],
    name: string,
    backend: string,
    isShared: boolean,
  ): Promise<PublicationView> {
    this.#refuseTakenName(name)
    const description: Description = {
      ...{ name, backend, created: new Date().toISOString() },
      ...(isShared ? { shared: randomUUID() } : {}),
    }
    const bound = this.#allocator.allocate(requests, (claim, containerPort) =>
      holderOf(description, claim, containerPort),
    )
    description.name ||= this.#nameFor(bound)
    const publication = this.#create(description)
    try {
      await publication.start(bound)
      this.#complete.add(publication)
      this.#save()
    } catch (err) {
      // Before anything is waited for: somebody else's save must not keep it.
      this.#complete.delete(publication)
      await publication.stop()
      this.#forget(publication)
      throw err
    }
    this.#event({ type: 'published', publication: publication.name })
    return publication.view(connectionCounter())
  }

  /** What `add` would bind now. Throws as `add` would. */
  check(ports: readonly string[]): Claim[] {
    return checkPorts(ports, this.#allocator)
  }

  list(): Promise<PublicationView[]> {
    const count = connectionCounter()
    return Promise.all(
      [...this.#publications.values()].map((publication) => publication.view(count)),
    )
  }

  /** Rejects with Refusal for a name that nobody has. */
  async get(name: string): Promise<PublicationView> {
    return this.#find(name).view(connectionCounter())
  }

  /** Withdraws a publication. Rejects with Refusal; it is still there then. */
  async remove(name: string): Promise<void> {
    const publication = this.#find(name)
    if (!this.#complete.delete(publication)) {
      throw new Refusal('busy', `${name} is being published or withdrawn just now: try again`)
    }
    try {
      this.#save()
    } catch (err) {
      this.#complete.add(publication)
      throw err
    }
    await publication.stop()
    this.#forget(publication)
    this.#event({ type: 'withdrawn', publication: name })
  }

  /** Withdraws everything. Rejects with Refusal when that can't be kept on disk. */
  async close(): Promise<void> {
    await Promise.all([...this.#publications.values()].map((publication) => publication.stop()))
    this.#publications.clear()
    this.#complete.clear()
    this.#options.state?.clear()
  }

  /** Ends, and leaves the proxies to the next daemon; what was about to be published is not. */
  async leave(): Promise<void> {
    const publications = [...this.#publications.values()]
    for (const publication of this.#complete) publication.leave()
    const incomplete = publications.filter((publication) => !this.#complete.has(publication))
    await Promise.all(incomplete.map((publication) => publication.stop()))
  }

  /** @throws RequestError where one process for all can't be had */
  #isShared(isolation: 'process' | 'shared' | 'auto', ports: number): boolean {
    const { isOurs, path } = this.#options.program
    if (isolation === 'shared' && !isOurs) {
      throw new RequestError(
        `isolation "shared" is not for ${path}, which serves one port: use "process", or start the daemon without --proxy-path`,
      )
    }
    return isolation === 'shared' || (isolation === 'auto' && isOurs && ports > MAX_APART)
  }

  #create(description: Description): Publication {
    const { program, runFolder, log } = this.#options
    const event = (what: Omit<PublicationEvent, 'time'>): void => this.#event(what)
    const publication = new Publication(description, { program, runFolder, log, event })
    this.#publications.set(publication.name, publication)
    return publication
  }

  #save(): void {
    this.#options.state?.save([...this.#complete].map(({ saved }) => saved))
  }

  #forget(publication: Publication): void {
    this.#publications.delete(publication.name)
    this.#complete.delete(publication)
  }

  #find(name: string): Publication {
    const publication = this.#publications.get(name)
    if (publication) return publication
    const names = [...this.#publications.keys()]
    const hint = names.length > 0 ? `there are ${names.join(', ')}` : 'nothing is published'
    throw new Refusal('no-such-publication', `no such publication: ${name} (${hint})`)
  }

  #refuseTakenName(name: string): void {
    const taken = this.#publications.get(name)
    if (!taken) return
    throw new Refusal(
      'name-in-use',
      `the name ${name} is in use by the publication of ${taken.backend}: withdraw that one, or take another name`,
    )
  }

  /** A name for a publication that was given none. */
  #nameFor([first]: readonly BoundPort[]): string {
    const base = `port-${first?.port ?? 0}`
    if (!this.#publications.has(base)) return base
    for (let i = 2; ; i++) if (!this.#publications.has(`${base}-${i}`)) return `${base}-${i}`
  }

  #event(what: Omit<PublicationEvent, 'time'>): void {
    this.emit('event', { time: new Date().toISOString(), ...what })
  }
}

/** Whether another may do: any port, or one of several. */
function leavesChoice({ hostPorts }: PortRequest): boolean {
  return hostPorts === undefined || hostPorts.first < hostPorts.last
}

/** Whether a proxy that binds its port itself has found it taken by then, as by a connection that goes out. */
function hasLostRace(err: unknown): boolean {
  return (
    err instanceof Refusal &&
    err.code === 'proxy-failed' &&
    err.message.includes(REASONS['EADDRINUSE'] ?? '')
  )
}

function readBackend(text: string): string {
  const ip = isIP(text) ? parseIp(text) : ''
  if (ip !== '') return ip
  throw new RequestError(
    `invalid backend ${JSON.stringify(text)}: expected the container's IP address, as 172.17.0.2`,
  )
}

/** A publication of ours as the holder of a port; its name may be given later. */
function holderOf(
  publication: { name: string; backend: string; created: string },
  claim: Claim,
  containerPort: number,
): Holder {
  return {
    kind: 'publication',
    get name() {
      return publication.name || 'of this very request'
    },
    address: joinHostPort(claim.ip, claim.port),
    backend: joinHostPort(publication.backend, containerPort),
    since: publication.created,
  }
}
