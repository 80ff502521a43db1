import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { StopOptions } from '../proxy/engine.js'
import { fetchPortStatuses, type PortStatus } from '../status/port-status.js'
import type { BackendList } from '../status/backend-list.js'
import { orderBackends, orderRetirement } from '../status/proxy-orders.js'
import { adoptRetired, type ProxyProcess } from './proxy-process.js'
import { RuntimeFiles } from './runtime-record.js'

/** A process that an upgrade has replaced, as the state file keeps it. */
export interface RetiredProcess {
  /** Names its files. */
  readonly id: string
  /** When its last connections are cut, milliseconds since the epoch; left out if they may stay. */
  readonly until?: number
}

/**
 * Processes that upgrades have replaced: others serve their ports, and these end with the last of their connections.
 *
 *     serving ──another one is ready──▶ retired ──last connection, or time over──▶ ended
 */
export class RetiredProcesses {
  readonly #all = new Map<RetiredProcess, ProxyProcess>()

  /** @param changed called when one has ended */
  constructor(
    private readonly runFolder: string,
    private readonly log: Log,
    private readonly changed: () => void,
  ) {}

  /** For the state file. */
  get saved(): readonly RetiredProcess[] {
    return [...this.#all.keys()]
  }

  /** Notes a process that is to retire. */
  add(retired: RetiredProcess, process: ProxyProcess): void {
    this.#all.set(retired, process)
    void process.exited.then(() => {
      if (this.#all.delete(retired)) this.changed()
    })
  }

  /** Notes those of an earlier daemon that still run, and orders them to retire, in case it could not any more. Never rejects. */
  async restore(saved: readonly RetiredProcess[]): Promise<void> {
    for (const retired of saved) {
      const process = adoptRetired(this.runFolder, retired.id, this.log)
      if (!process) continue
      this.add(retired, process)
      await this.retire(retired).catch((err: unknown) => {
        this.log.warn(`A replaced proxy does not answer: ${errnoReason(err)}`, {
          proxy: process.pid,
        })
      })
    }
  }

  /** Has a noted process stop accepting clients, and end after its last connection. Rejects if it does not take the order. */
  async retire(retired: RetiredProcess): Promise<void> {
    const { id, until } = retired
    const leftMs = until === undefined ? Infinity : Math.max(1, until - Date.now())
    await orderRetirement(new RuntimeFiles(this.runFolder, id).socketPath, leftMs)
  }

  /** Has them end UDP flows, and dials, to addresses that are not in the list. One that does not answer watches its containers itself. */
  async changeBackends(list: BackendList): Promise<void> {
    await Promise.all(
      this.saved.map(({ id }) =>
        orderBackends(new RuntimeFiles(this.runFolder, id).socketPath, list).catch(() => undefined),
      ),
    )
  }

  /** What they report of their ports. Those that do not answer are left out. */
  async statuses(): Promise<readonly PortStatus[]> {
    const replies = await Promise.all(
      this.saved.map(({ id }) =>
        fetchPortStatuses(new RuntimeFiles(this.runFolder, id).socketPath).catch(() => []),
      ),
    )
    return replies.flat()
  }

  /** Ends them. */
  async stop(options?: StopOptions): Promise<void> {
    await Promise.all([...this.#all.values()].map((process) => process.stop(options)))
  }
}
