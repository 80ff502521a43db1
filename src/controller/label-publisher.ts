import type { Container } from '../docker/container.js'
import type { Containers } from '../docker/containers.js'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { Holder } from '../ports/holder.js'
import { Refusal } from '../ports/refusal.js'
import { refuseRepeatedPorts, requestOfLabels, textOfLabels } from './publication-labels.js'
import type { PublicationRequest } from './publication-request.js'
import type { Publication } from './publication.js'

/** Time after which a waiting container tries again, milliseconds: nothing reports that another program has freed a port. */
const RETRY_MS = 2_000

/** A container whose ports are taken. */
export interface WaitingContainer {
  readonly request: PublicationRequest
  readonly container: Container
  /** Since when, ISO 8601. */
  readonly since: string
  /** Why, one line. */
  readonly reason: string
  readonly holder?: Holder
}

/** A container whose labels publish nothing until it starts again. */
export interface RefusedLabels {
  /** The name that the publication would have. */
  readonly name: string
  readonly container: Container
  /** Since when, ISO 8601. */
  readonly since: string
  /** Why, one line. */
  readonly reason: string
}

/** What a LabelPublisher does to publications. */
export interface LabelActions {
  publications(): Iterable<Publication>
  /** Publishes ports for a container. @param labels a text of all its labels, see textOfLabels. Rejects as `add` does. */
  add(request: PublicationRequest, labels: string): Promise<unknown>
  /** Rejects with Refusal. */
  remove(publication: Publication): Promise<void>
  /** A container has begun to wait. */
  waits(waiting: WaitingContainer): void
  /** Labels can't be followed. */
  refused(labels: RefusedLabels): void
}

/**
 * Publishes the ports that labels of running containers ask for. Of two containers that want one port, the first keeps it. The other one
 * waits until the port is free.
 */
export class LabelPublisher {
  /** By the id of the container. */
  readonly #waiting = new Map<string, WaitingContainer>()
  /** By the id of the container. */
  readonly #refused = new Map<string, RefusedLabels>()
  /** Containers whose publication a user has withdrawn, by id: nothing is tried until they start again. The value is their last start. */
  readonly #dismissed = new Map<string, string>()
  #run: Promise<void> = Promise.resolve()
  #isQueued = false
  #isClosed = false
  /** Whether a publication could not be withdrawn, and is tried again. */
  #isIncomplete = false
  #timer: NodeJS.Timeout | undefined

  constructor(
    private readonly containers: Containers,
    private readonly actions: LabelActions,
    private readonly log: Log,
  ) {
    containers.on('changed', () => this.look())
  }

  /** The containers that wait, the first one first. */
  get waiting(): readonly WaitingContainer[] {
    return [...this.#waiting.values()]
  }

  /** The containers whose labels are refused, the first one first. */
  get refused(): readonly RefusedLabels[] {
    return [...this.#refused.values()]
  }

  /** Looks at all containers soon. */
  look(): void {
    if (this.#isQueued || this.#isClosed) return
    this.#isQueued = true
    this.#run = this.#run
      .then(async () => {
        this.#isQueued = false
        await this.#lookAtAll()
      })
      .catch((err: unknown) => this.log.error(`Can't follow labels: ${errnoReason(err)}`))
  }

  /** A user has withdrawn the publication of a container. */
  dismiss(containerId: string): void {
    this.#dismissed.set(containerId, this.#startOf(containerId))
  }

  /** Ends the wait of a container, for a user. @returns false if no container of this name waits, and the labels of none are refused */
  dismissName(name: string): boolean {
    for (const [id, { request }] of this.#waiting) if (request.name === name) return this.#end(id)
    for (const [id, refused] of this.#refused) if (refused.name === name) return this.#end(id)
    return false
  }

  #startOf(id: string): string {
    return this.containers.all.find((container) => container.id === id)?.startedAt ?? ''
  }

  #end(id: string): true {
    this.#waiting.delete(id)
    this.#refused.delete(id)
    this.dismiss(id)
    return true
  }

  /** Publishes nothing from now on. */
  close(): void {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.#waiting.clear()
    this.#refused.clear()
  }

  async #lookAtAll(): Promise<void> {
    clearTimeout(this.#timer)
    if (!this.containers.isConnected) return
    const running = this.containers.all.filter(({ isRunning }) => isRunning)
    const starts = new Map(running.map(({ id, startedAt }) => [id, startedAt]))
    for (const id of this.#waiting.keys()) if (!starts.has(id)) this.#waiting.delete(id)
    // Between two looks a container may have stopped and started again.
    for (const [id, start] of this.#dismissed) {
      if (starts.get(id) !== start) this.#dismissed.delete(id)
    }
    for (const [id, { container }] of this.#refused) {
      if (starts.get(id) !== container.startedAt) this.#refused.delete(id)
    }
    this.#isIncomplete = false
    for (const container of running) {
      if (this.#isClosed) return
      await this.#publish(container)
    }
    this.#lookLater()
  }

  #lookLater(): void {
    if (this.#isClosed || (this.#waiting.size === 0 && !this.#isIncomplete)) return
    this.#timer = setTimeout(() => this.look(), RETRY_MS)
  }

  /** Never rejects. */
  async #publish(container: Container): Promise<void> {
    const { id, name, labels } = container
    if (this.#dismissed.has(id) || this.#refused.has(id)) return
    const wanted = textOfLabels(labels)
    const publication = this.#publicationOf(id)
    if (publication && publication.follows?.labels === wanted) return
    let request: PublicationRequest | undefined
    try {
      // Compose has recreated the container with other labels.
      if (publication) await this.actions.remove(publication)
      request = requestOfLabels(container)
      if (!request || wanted === undefined) return
      await refuseRepeatedPorts(request.ports)
      await this.#add(request, container, wanted)
    } catch (err) {
      // For example, the publication is just being withdrawn.
      if (err instanceof Refusal) {
        this.#isIncomplete = true
        return
      }
      this.#refuse(container, request?.name ?? name, errnoReason(err))
    }
  }

  /** Rejects if the request can't ever succeed. */
  async #add(request: PublicationRequest, container: Container, labels: string): Promise<void> {
    const { id } = container
    try {
      await this.actions.add(request, labels)
      this.#waiting.delete(id)
      const publication = this.#publicationOf(id)
      // A user has ended the wait meanwhile.
      if (publication && this.#dismissed.has(id)) await this.actions.remove(publication)
    } catch (err) {
      if (!(err instanceof Refusal)) throw err
      // A user has ended the wait meanwhile.
      if (this.#dismissed.has(id) || this.#isClosed) return
      const name = request.name ?? container.name
      const [reason = ''] = err.message.split('\n')
      const { holder } = err.details
      // Each attempt would start and end proxies again.
      if (err.code === 'nat-impossible') return this.#refuse(container, name, reason)
      const known = this.#waiting.get(id)
      const since = known?.since ?? new Date().toISOString()
      const waiting = { request, container, since, reason, ...(holder ? { holder } : {}) }
      this.#waiting.set(id, waiting)
      if (!known) this.actions.waits(waiting)
    }
  }

  #refuse(container: Container, name: string, reason: string): void {
    const refused = { name, container, since: new Date().toISOString(), reason }
    this.#waiting.delete(container.id)
    this.#refused.set(container.id, refused)
    this.actions.refused(refused)
  }

  #publicationOf(id: string): Publication | undefined {
    for (const publication of this.actions.publications()) {
      const { follows } = publication
      if (follows?.labels === undefined || follows.target.kind !== 'container') continue
      if (follows.target.id === id) return publication
    }
    return undefined
  }
}
