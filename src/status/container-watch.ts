import { errnoCode, errnoReason } from '../linux/errno.js'
import { isAlive } from '../linux/proc/process-identity.js'
import { ProcessWatch } from '../linux/proc/process-watch.js'
import type { Log } from '../log/log.js'
import type { BackendList, ListedBackend } from './backend-list.js'

/**
 * Keeps proxies away from the addresses of containers that have ended, also while no daemon runs: another container may get such an
 * address.
 */
export class ContainerWatch {
  #list: BackendList = { backends: [], holdMs: 0 }
  #processes: ProcessWatch | undefined
  /** Ends the watch of each container. */
  #stops: (() => void)[] = []

  /** @param changed called when containers have ended, with those that are left */
  constructor(
    private readonly changed: (list: BackendList) => void,
    private readonly log: Log,
  ) {}

  /**
   * Watches the containers of a list, instead of an earlier one.
   * @returns the list without containers that have ended already
   */
  watch(list: BackendList): BackendList {
    for (const stop of this.#stops) stop()
    this.#stops = []
    const backends = list.backends.filter((backend) => this.#watchOne(backend))
    return (this.#list = { ...list, backends })
  }

  /** @returns false for a container that has ended */
  #watchOne(backend: ListedBackend): boolean {
    const { process } = backend
    if (!process) return true
    try {
      this.#processes ??= new ProcessWatch()
      this.#stops.push(this.#processes.watch(process.pid, () => this.#ended(backend)))
    } catch (err) {
      if (errnoCode(err) === 'ESRCH') return false
      // The daemon still watches the container.
      this.log.debug(`Can't watch the process of a container: ${errnoReason(err)}`)
    }
    // Checked last, because the watched process may be a later one with the same id.
    return isAlive(process)
  }

  #ended(backend: ListedBackend): void {
    const backends = this.#list.backends.filter((each) => each !== backend)
    this.#list = { ...this.#list, backends }
    this.changed(this.#list)
  }
}
