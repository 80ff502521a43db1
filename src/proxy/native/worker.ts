import { Worker as Thread } from 'node:worker_threads'
import { EPOLL } from '../../linux/constants.js'
import { requireLibc } from '../../linux/libc.js'
import type { NodePoller } from '../../linux/node-poller.js'
import { socketError } from '../../linux/system-error.js'
import type { Relay, RelayEvents } from '../connection-proxy.js'
import type { PublishedPort } from '../published-port.js'
import type { Kernel } from './kernel.js'
import type { Joined } from './relay.js'
import { Ring } from './ring.js'
import {
  MAX_RELAYS,
  message,
  ORDER,
  parseMessage,
  REPORT,
  workerMemory,
  type WorkerMemory,
} from './worker-memory.js'
import { WorkerRelay } from './worker-relay.js'
import type { PortNotice, WorkerNotice, WorkerStart } from './worker-thread.js'

/** A port whose relays may be a worker's. */
export interface SharedPort {
  /** It tells the port from all others of the process. */
  readonly number: number
  readonly port: PublishedPort
  readonly events: RelayEvents
}

export interface WorkerEvents {
  /** It takes orders from now on. */
  readonly ready: () => void
  /** It is over; with the reason where that was not asked for. All its relays have ended. */
  readonly ended: (reason?: Error) => void
}

/** A thread that moves the data of relays, as the main thread sees it. */
export class Worker {
  readonly #thread: Thread
  readonly #memory: WorkerMemory
  readonly #orders: Ring
  readonly #reports: Ring
  readonly #relays: (WorkerRelay | undefined)[] = []
  /** Places in the table that are free again, before those that never were used. */
  readonly #free: number[] = []
  readonly #ports = new Map<number, SharedPort>()
  #active = 0
  #isUsed = true
  #isStopped = false
  #isReady = false
  #death: Error | undefined

  /** @throws SystemError `EMFILE` */
  constructor(
    private readonly kernel: Kernel<NodePoller>,
    pipes: number,
    private readonly events: WorkerEvents,
  ) {
    const { calls } = kernel
    const libc = requireLibc()
    const ordersBell = libc.openBell()
    try {
      this.#memory = workerMemory(ordersBell, libc.openBell())
    } catch (err) {
      calls.close(ordersBell)
      throw err
    }
    this.#orders = new Ring(calls, this.#memory.orders)
    this.#reports = new Ring(calls, this.#memory.reports)
    try {
      this.#thread = this.#startThread({ memory: this.#memory, pipes })
    } catch (err) {
      kernel.poller.close(this.#reports.bell)
      calls.close(ordersBell)
      throw err
    }
    this.#thread.on('message', (notice: WorkerNotice) => {
      if (notice === 'ready') {
        this.#isReady = true
        events.ready()
      } else {
        this.#ports.get(notice.port)?.events.failed(notice.fault)
      }
    })
    this.#thread.on('error', (err: Error) => (this.#death = err))
    this.#thread.on('exit', () => this.#bury())
    this.#thread.unref()
  }

  /** Whether it takes orders. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Whether it can have one more relay. */
  get hasRoom(): boolean {
    return this.#isReady && !this.#isStopped && this.#active < MAX_RELAYS
  }

  /** Relays it has. */
  get active(): number {
    return this.#active
  }

  /**
   * Has the worker join a client to the backend, or go on with a relay that was let go here.
   * @param client connected; it belongs to the worker from now on
   */
  open(port: SharedPort, client: number, joined?: Joined): Relay {
    this.#isUsed = true
    this.#introduce(port)
    const place = this.#free.pop() ?? this.#relays.length
    const { relays: table } = this.#memory
    table.clients[place] = client
    table.backends[place] = joined?.fd ?? -1
    table.ports[place] = port.number
    table.bytesIn[place] = joined?.bytesIn ?? 0
    table.bytesOut[place] = joined?.bytesOut ?? 0
    const relay = new WorkerRelay(port.events, table, place, () =>
      this.#orders.send(message(ORDER.DESTROY, place)),
    )
    this.#relays[place] = relay
    this.#active++
    this.#orders.send(message(joined ? ORDER.ADOPT : ORDER.OPEN, place))
    return relay
  }

  /** A port that has no more clients. */
  forget(number: number): void {
    if (this.#ports.delete(number)) this.#orders.send(message(ORDER.FORGET, number))
  }

  /** Ends the thread if it has no relays, and had no new one since it was asked last. */
  stopIfIdle(): void {
    if (this.#isReady && this.#active === 0 && !this.#isUsed) this.stop()
    this.#isUsed = false
  }

  /** Ends the thread, which ends its relays. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#orders.send(message(ORDER.STOP, 0))
  }

  /** @throws Error when the system has no thread left; SystemError `ENOMEM` */
  #startThread(workerData: WorkerStart): Thread {
    // What is watched keeps the process alive, and the thread is stopped before the process ends.
    this.kernel.poller.add(this.#reports.bell, EPOLL.IN | EPOLL.ET, {
      ready: () => this.#reports.receive(this.#hear),
      // Without its reports it is of no use.
      fail: () => void this.#thread.terminate(),
    })
    const url = new URL('./worker-thread.js', import.meta.url)
    return new Thread(url, { workerData, stdin: false })
  }

  #introduce(port: SharedPort): void {
    if (this.#ports.has(port.number)) return
    this.#ports.set(port.number, port)
    const notice: PortNotice = { number: port.number, port: port.port }
    this.#thread.postMessage(notice)
  }

  readonly #hear = (number: number): void => {
    const { kind, place } = parseMessage(number)
    const relay = this.#relays[place]
    if (!relay) return
    try {
      this.#tell(kind, place, relay)
    } catch (err) {
      relay.events.failed(err) // And the others are heard.
    }
  }

  #tell(kind: number, place: number, relay: WorkerRelay): void {
    if (kind === REPORT.DIAL_FAILED) {
      relay.events.dialFailed(socketError(this.#memory.relays.errors[place] ?? 0))
    } else {
      this.#end(place, relay)
    }
  }

  #end(place: number, relay: WorkerRelay): void {
    this.#relays[place] = undefined
    this.#free.push(place)
    this.#active--
    relay.events.ended(relay)
  }

  /** The thread is no more: what it had is closed here. */
  #bury(): void {
    this.#reports.receive(this.#hear)
    const { calls, poller } = this.kernel
    const { clients, backends } = this.#memory.relays
    for (const [place, relay] of this.#relays.entries()) {
      if (!relay) continue
      for (const fd of [clients[place] ?? -1, backends[place] ?? -1]) {
        if (fd < 0) continue
        // What was cut off must not look whole.
        calls.resetOnClose(fd)
        calls.close(fd)
      }
      this.#end(place, relay)
    }
    poller.close(this.#reports.bell)
    calls.close(this.#orders.bell)
    const wanted = this.#isStopped
    this.#isStopped = true
    this.events.ended(wanted ? undefined : (this.#death ?? new Error('it ended by itself')))
  }
}
