import type { Containers } from '../docker/containers.js'
import { resolveTarget } from '../docker/target-backends.js'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { Publication } from './publication.js'

/** What a follower does to publications. */
export interface FollowerActions {
  /** The publications that are complete. */
  publications(): Iterable<Publication>
  /**
   * Something that is saved has changed.
   * @param hasMoved whether the publication forwards to other addresses now; its proxies know it already
   */
  changed(publication: Publication, hasMoved: boolean): void
  /** The container of a publication was removed. */
  lost(publication: Publication): Promise<void>
}

/** Keeps publications at the addresses of the containers that they follow. */
export class Follower {
  /** Publications whose container seems to be removed, while this is confirmed. */
  readonly #confirming = new Set<Publication>()
  #isDue = false

  constructor(
    private readonly containers: Containers,
    private readonly actions: FollowerActions,
    private readonly log: Log,
  ) {
    // Several changes often come at once.
    containers.on('changed', () => {
      if (this.#isDue) return
      this.#isDue = true
      setImmediate(() => this.#compareAll())
    })
  }

  /** Brings one publication up to date, if the containers are known. */
  async compare(publication: Publication): Promise<void> {
    const { follows } = publication
    if (!follows) return
    // Before the first list nothing is known, and the last addresses stay.
    if (!this.containers.wasListed) return
    const present = publication.description.backends.map(({ ip }) => ip)
    const target = resolveTarget(follows, this.containers, present)
    if (target.state === 'missing' && !this.containers.isConnected) return
    const change = publication.follow(target)
    if (change === 'moved') await publication.orderBackends()
    if (change !== 'same') this.actions.changed(publication, change === 'moved')
    if (target.state === 'missing' && !follows.keep) await this.#confirmLoss(publication)
  }

  #compareAll(): void {
    this.#isDue = false
    for (const publication of this.actions.publications()) {
      this.compare(publication).catch((err: unknown) =>
        this.log.error(`Can't follow the container of ${publication.name}: ${errnoReason(err)}`),
      )
    }
  }

  /** While compose recreates a container, the successor may not be known yet. */
  async #confirmLoss(publication: Publication): Promise<void> {
    if (this.#confirming.has(publication)) return
    this.#confirming.add(publication)
    try {
      if (!(await this.containers.listAgain())) return
      const { follows } = publication
      if (!follows || resolveTarget(follows, this.containers).state !== 'missing') return
      await this.actions.lost(publication)
    } finally {
      this.#confirming.delete(publication)
    }
  }
}
