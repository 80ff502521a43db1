import { Worker as Thread } from 'node:worker_threads'
import { requireCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import { EPOLL } from '../../linux/ffi/constants.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { NodePoller } from '../../linux/sockets/node-poller.js'
import type { Relay } from '../transport.js'
import type { RelayEnding } from '../observer.js'
import type { Reactor } from './reactor.js'
import type { JoinedBackend } from './relay.js'
import { Ring } from './ring.js'
import {
  endingAt,
  MAX_RELAYS,
  message,
  ORDER,
  parseMessage,
  REPORT,
  workerMemory,
  type WorkerMemory,
} from './worker-memory.js'
import type { WorkerPort } from './worker-port.js'
import { WorkerRelay } from './worker-relay.js'
import type { PortNotice, WorkerNotice, WorkerStart } from './worker-thread.js'

export interface WorkerEvents {
  /** The worker now takes orders. */
  readonly ready: () => void
  /** The thread has ended, and all its relays are closed. `reason` is set if nobody asked it to end. */
  readonly ended: (reason?: Error) => void
}

/** The native parts of a thread are loaded by then, milliseconds, or it has not come to them: then its end is harmless. */
const START_TIMEOUT_MS = 300

/** A thread that relays data, as the main thread sees it. */
export class Worker {
  readonly #thread: Thread
  readonly #memory: WorkerMemory
  readonly #orders: Ring
  readonly #reports: Ring
  readonly #relays: (WorkerRelay | undefined)[] = []
  /** Places in the table that were used and are free again. */
  readonly #free: number[] = []
  readonly #ports = new Map<number, WorkerPort>()
  #active = 0
  #isUsed = true
  #isStopped = false
  #isReady = false
  #death: Error | undefined

  /** @throws SystemError `EMFILE` */
  constructor(
    private readonly reactor: Reactor<NodePoller>,
    pipes: number,
    private readonly events: WorkerEvents,
  ) {
    const { syscalls } = reactor
    const ordersEventFd = requireCheckedSyscalls().openEventFd()
    try {
      this.#memory = workerMemory(ordersEventFd, requireCheckedSyscalls().openEventFd())
    } catch (err) {
      syscalls.close(ordersEventFd)
      throw err
    }
    this.#orders = new Ring(syscalls, this.#memory.orders)
    this.#reports = new Ring(syscalls, this.#memory.reports)
    try {
      this.#thread = this.#startThread({ memory: this.#memory, pipes })
    } catch (err) {
      reactor.poller.close(this.#reports.eventFd)
      syscalls.close(ordersEventFd)
      throw err
    }
    this.#thread.on('message', (notice: WorkerNotice) => this.#handleNotice(notice))
    this.#thread.on('error', (err: Error) => (this.#death = err))
    this.#thread.on('exit', () => this.#cleanUp())
    this.#thread.unref()
  }

  /** Whether the worker takes orders. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Whether the worker can have one more relay. */
  get hasRoom(): boolean {
    return this.#isReady && !this.#isStopped && this.#active < MAX_RELAYS
  }

  /** Relays that the worker has. */
  get active(): number {
    return this.#active
  }

  /**
   * Has the worker connect a client to the backend, or continue a relay that was detached.
   * @param client a connected socket; the worker owns it from now on
   */
  open(port: WorkerPort, client: number, joined?: JoinedBackend): Relay {
    this.#isUsed = true
    this.#announcePort(port)
    const place = this.#free.pop() ?? this.#relays.length
    const { relays: table } = this.#memory
    table.clients[place] = client
    table.backends[place] = joined?.fd ?? -1
    table.ports[place] = port.number
    table.dialMs[place] = joined?.dialMs ?? NaN
    table.halfClosed[place] = table.throttled[place] = 0
    table.bytesIn[place] = joined?.bytesIn ?? 0
    table.bytesOut[place] = joined?.bytesOut ?? 0
    const relay = new WorkerRelay(
      ...([port, table, place] as const),
      () => this.#orders.send(message(ORDER.DESTROY, place)),
      () => this.#orders.send(message(ORDER.CANCEL, place)),
      () => this.#orders.send(message(ORDER.ABORT, place)),
    )
    this.#relays[place] = relay
    this.#active++
    this.#orders.send(message(joined ? ORDER.ADOPT : ORDER.OPEN, place))
    return relay
  }

  /** Forgets a port that was closed. */
  forgetPort(number: number): void {
    if (this.#ports.delete(number)) this.#orders.send(message(ORDER.FORGET, number))
  }

  /** Ends the thread if it has no relays, and got none since the last call. */
  stopIfIdle(): void {
    if (this.#isReady && this.#active === 0 && !this.#isUsed) this.stop()
    this.#isUsed = false
  }

  /** Ends the thread, and with it its relays. */
  stop(): void {
    if (this.#isStopped) return
    this.#isStopped = true
    this.#orders.send(message(ORDER.STOP, 0))
  }

  /** Blocks until the thread has loaded its native parts: if Node ended it meanwhile, koffi would abort the process. */
  waitForStart(): void {
    Atomics.wait(this.#memory.started, 0, 0, START_TIMEOUT_MS)
  }

  /** @throws Error if the system has no thread left; SystemError `ENOMEM` */
  #startThread(workerData: WorkerStart): Thread {
    // A watched descriptor keeps the process alive. The thread is stopped before the process ends.
    this.reactor.poller.watch(this.#reports.eventFd, EPOLL.IN | EPOLL.ET, {
      onReady: () => this.#reports.receive(this.#handleReport),
      // A worker without reports is useless.
      onError: () => void this.#thread.terminate(),
    })
    const url = new URL('./worker-thread.js', import.meta.url)
    return new Thread(url, { workerData, stdin: false })
  }

  #announcePort(port: WorkerPort): void {
    if (this.#ports.has(port.number)) return
    this.#ports.set(port.number, port)
    const { number, protocol, sendProxy, limits, backend } = port
    const { ip, port: containerPort } = backend.address
    const notice: PortNotice = {
      ...{ number, protocol, sendProxy, limits: limits.memory },
      container: { ip, port: containerPort },
    }
    this.#thread.postMessage(notice)
  }

  #handleNotice(notice: WorkerNotice): void {
    if (notice === 'ready') {
      this.#isReady = true
      this.events.ready()
    } else {
      this.#ports.get(notice.port)?.events.relayFaulted(notice.fault)
    }
  }

  readonly #handleReport = (number: number): void => {
    const { kind, place } = parseMessage(number)
    const relay = this.#relays[place]
    if (!relay) return
    try {
      this.#dispatchReport(kind, place, relay)
    } catch (err) {
      relay.port.events.relayFaulted(err) // The other reports are still handled.
    }
  }

  #dispatchReport(kind: number, place: number, relay: WorkerRelay): void {
    const { relays: table } = this.#memory
    if (kind === REPORT.DIAL_ENDED) {
      const errno = table.errors[place] ?? 0
      const client = table.clients[place] ?? -1
      table.clients[place] = -1
      this.#release(place)
      const { backend, events } = relay.port
      events.dialEnded(relay, client, backend, errno === 0 ? undefined : socketError(errno))
    } else if (kind === REPORT.DIAL_WAITS) {
      relay.port.events.dialWaits(relay.port.backend)
    } else {
      this.#close(place, relay, endingAt(table, place))
    }
  }

  #close(place: number, relay: WorkerRelay, ending: RelayEnding): void {
    this.#release(place)
    relay.port.events.relayClosed(relay, ending)
  }

  #release(place: number): void {
    this.#relays[place] = undefined
    this.#free.push(place)
    this.#active--
  }

  /** Closes what a thread that has ended left open. */
  #cleanUp(): void {
    this.#reports.receive(this.#handleReport)
    const { syscalls, poller } = this.reactor
    const { clients, backends } = this.#memory.relays
    for (const [place, relay] of this.#relays.entries()) {
      if (!relay) continue
      for (const fd of [clients[place] ?? -1, backends[place] ?? -1]) {
        if (fd < 0) continue
        // A connection that was cut off must not look complete.
        syscalls.resetOnClose(fd)
        syscalls.close(fd)
      }
      this.#close(place, relay, 'fault')
    }
    poller.close(this.#reports.eventFd)
    syscalls.close(this.#orders.eventFd)
    const wasStopped = this.#isStopped
    this.#isStopped = true
    this.events.ended(wasStopped ? undefined : (this.#death ?? new Error('it ended by itself')))
  }
}
