import type { NodePoller } from '../../linux/node-poller.js'
import type { Log } from '../../log/log.js'
import type { Relay, RelayEvents } from '../connection-proxy.js'
import { affordableThreads, pipesOfThread } from '../engine-share.js'
import type { PublishedPort } from '../published-port.js'
import { dialer, type Dial } from './dialer.js'
import type { Kernel } from './kernel.js'
import { NativeRelay, type NativeRelayEvents } from './relay.js'
import { Worker, type SharedPort } from './worker.js'
import { Workload } from './workload.js'

/** Workers that have had nothing to do for so long are stopped, milliseconds. */
const IDLE_MS = 30_000
/** A worker that could not be had is not tried again before, milliseconds. */
const RETRY_MS = 60_000

/** A relay of the main thread. */
type OwnRelay = Relay & Pick<NativeRelay, 'letGo'>

/** Joins clients of a port to its backend. */
export interface Opener {
  open(client: number, events: RelayEvents): Relay
  /** There will be no more of them. */
  close(): void
}

/**
 * Who moves the data: the main thread alone, until it is busy; then workers beside it, each a thread of its own.
 *
 *     clients ──▶ listener, in the ──▶ who has the ────▶ main thread
 *                 main thread          fewest relays └─▶ worker, worker, …
 */
export class Workers {
  /** The one that is starting among them. */
  #workers: readonly Worker[] = []
  /** Relays of the main thread, and of which port each is. */
  readonly #relays = new Map<OwnRelay, SharedPort>()
  readonly #workload: Workload
  #ports = 0
  #notBefore = 0
  #idleCheck: NodeJS.Timeout | undefined

  /**
   * @param threads at most, the main one among them
   * @param idleMs when workers without relays are stopped, milliseconds
   */
  constructor(
    private readonly kernel: Kernel<NodePoller>,
    private readonly threads: number,
    private readonly idleMs = IDLE_MS,
  ) {
    this.#workload = new Workload(kernel)
  }

  /** Workers that take clients. */
  get count(): number {
    return this.#workers.filter(({ isReady }) => isReady).length
  }

  /** How clients of a port are joined to its backend. */
  opener(port: PublishedPort, log: Log): Opener {
    this.kernel.poller.whenBusy ??= () => {
      if (this.#hasRoom && this.#workload.gainsByThread()) this.add(log)
    }
    const number = this.#ports++
    const isSctp = port.protocol === 'sctp'
    // Made with the first client: many ports wait for theirs for ever.
    let shared: SharedPort | undefined
    let here: NativeRelayEvents | undefined
    let dial: Dial | undefined
    const open = (client: number, events: RelayEvents): Relay => {
      shared ??= { number, port, events }
      const worker = this.#choose()
      if (worker) return worker.open(shared, client)
      here ??= {
        dialFailed: (err) => events.dialFailed(err),
        failed: (err) => events.failed(err),
        ended: (relay) => {
          this.#relays.delete(relay as OwnRelay)
          events.ended(relay)
        },
      }
      dial ??= dialer(this.kernel, port)
      const relay = new NativeRelay(this.kernel, here, client, dial, isSctp)
      this.#relays.set(relay, shared)
      return relay
    }
    const close = (): void => {
      for (const worker of this.#workers) worker.forget(number)
    }
    return { open, close }
  }

  /** Starts one more worker, unless there are as many as there may be. */
  add(log: Log): void {
    if (!this.#hasRoom) return
    const threads = affordableThreads(this.threads)
    const failed = (reason: unknown): void => {
      this.#notBefore = performance.now() + RETRY_MS
      log.warn(`A worker of the proxy has failed, and the others go on: ${String(reason)}`)
    }
    try {
      const worker = new Worker(this.kernel, pipesOfThread(threads), {
        ready: () => {
          this.#relieve(worker)
          log.info('Busy: one more thread shares the work', { threads: this.count + 1 })
        },
        ended: (reason) => {
          this.#workers = this.#workers.filter((each) => each !== worker)
          if (reason) failed(reason)
        },
      })
      this.#workers = [...this.#workers, worker]
    } catch (err) {
      failed(err)
    }
    if (this.#idleCheck) return
    this.#idleCheck = setInterval(() => this.#stopIdle(), this.idleMs).unref()
    // Node waits for its threads, and ours would wait for their sockets.
    process.on('exit', this.stop)
  }

  /** Ends all workers, and the relays they have. */
  readonly stop = (): void => {
    clearInterval(this.#idleCheck)
    this.#idleCheck = undefined
    process.off('exit', this.stop)
    for (const worker of this.#workers) worker.stop()
  }

  /** Whether there may be one more, and none is starting. */
  get #hasRoom(): boolean {
    if (performance.now() < this.#notBefore || this.count < this.#workers.length) return false
    return this.#workers.length + 1 < affordableThreads(this.threads)
  }

  /** The worker that is to have a client; none where that is the main thread. */
  #choose(): Worker | undefined {
    let chosen: Worker | undefined
    let fewest = this.#relays.size
    for (const worker of this.#workers) {
      if (worker.active >= fewest || !worker.hasRoom) continue
      fewest = worker.active
      chosen = worker
    }
    return chosen
  }

  /** Gives a new worker its share of what the main thread has. */
  #relieve(worker: Worker): void {
    let share = Math.floor(this.#relays.size / (this.count + 1))
    for (const [relay, shared] of this.#relays) {
      if (share <= 0 || !worker.hasRoom) break
      const joined = relay.letGo()
      if (!joined) continue
      share--
      this.#relays.delete(relay)
      shared.events.moved(relay, worker.open(shared, joined.client, joined))
    }
  }

  #stopIdle(): void {
    for (const worker of this.#workers) worker.stopIfIdle()
  }
}
