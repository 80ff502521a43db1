import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { StopOptions } from '../proxy/engine.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import { fetchPortStatuses, type PortStatus } from '../status/port-status.js'
import type { BackendList } from '../status/backend-list.js'
import { orderBackends, orderOptions, orderRetirement } from '../status/proxy-orders.js'
import { adoptRetired, type ProxyProcess } from './proxy-process.js'
import { RuntimeFiles } from './runtime-record.js'

/** Attempts to give the order, and time between them, milliseconds. */
const ATTEMPTS = 3
const RETRY_MS = 500

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
  /** Ids of successors that are starting. After the end of this daemon, the next one has them retire. */
  readonly #reserved = new Set<string>()

  /** @param changed called when one has ended */
  constructor(
    private readonly runFolder: string,
    private readonly log: Log,
    private readonly changed: () => void,
  ) {}

  /** For the state file. */
  get saved(): readonly RetiredProcess[] {
    return [...this.#all.keys(), ...[...this.#reserved].map((id) => ({ id }))]
  }

  /** Notes a process that is about to start. */
  reserve(id: string): void {
    this.#reserved.add(id)
  }

  /** Ends the reservation: the successor has replaced its predecessor, or has not started. */
  release(id: string): void {
    this.#reserved.delete(id)
  }

  /** Notes a process that is to retire. */
  add(retired: RetiredProcess, process: ProxyProcess): void {
    this.#all.set(retired, process)
    void process.exited.then(() => {
      if (this.#all.delete(retired)) this.changed()
    })
  }

  /** Notes retired processes of an earlier daemon, and orders them to retire once more. Never rejects. */
  async restore(saved: readonly RetiredProcess[]): Promise<void> {
    await Promise.all(
      saved.map(async (retired) => {
        const process = adoptRetired(this.runFolder, retired.id, this.log)
        if (!process) return
        this.add(retired, process)
        await this.retire(retired).catch(async (err: unknown) => {
          this.log.warn(`A replaced proxy takes no order, and is ended: ${errnoReason(err)}`, {
            proxy: process.pid,
          })
          await process.stop()
        })
      }),
    )
  }

  /** Has a noted process stop accepting clients, and end after its last connection. Rejects if it does not take the order. */
  async retire({ id, until }: RetiredProcess): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const leftMs = until === undefined ? Infinity : Math.max(1, until - Date.now())
      try {
        return await orderRetirement(this.#socketOf(id), leftMs)
      } catch (err) {
        // The host may be busy. Meanwhile both processes serve the port.
        if (attempt === ATTEMPTS) throw err
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
  }

  /** Has them follow other options. A process that does not answer keeps its options. */
  async changeOptions(options: PortOptionTexts): Promise<void> {
    await this.#tellAll((path) => orderOptions(path, options))
  }

  /** Has them end UDP flows, and dials, to addresses that are not in the list. */
  async changeBackends(list: BackendList): Promise<void> {
    await this.#tellAll((path) => orderBackends(path, list))
  }

  async #tellAll(tell: (path: string) => Promise<void>): Promise<void> {
    await Promise.all(this.statusSockets.map((path) => tell(path).catch(() => undefined)))
  }

  #socketOf(id: string): string {
    return new RuntimeFiles(this.runFolder, id).socketPath
  }

  /** The paths of their status sockets. */
  get statusSockets(): readonly string[] {
    return [...this.#all.keys()].map(({ id }) => this.#socketOf(id))
  }

  /** The statuses of their ports. A process that does not answer is left out. */
  async statuses(): Promise<readonly PortStatus[]> {
    const replies = await Promise.all(
      this.statusSockets.map((path) => fetchPortStatuses(path).catch(() => [])),
    )
    return replies.flat()
  }

  /** Ends them. */
  async stop(options?: StopOptions): Promise<void> {
    await Promise.all([...this.#all.values()].map((process) => process.stop(options)))
  }
}
