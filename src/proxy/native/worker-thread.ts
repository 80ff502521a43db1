import { constants } from 'node:os'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import type { ProxyVersion } from '../proxy-header.js'
import { errnoCode } from '../../linux/errno.js'
import { EPOLL, ERRNO } from '../../linux/ffi/constants.js'
import { BlockingPoller } from '../../linux/sockets/blocking-poller.js'
import { EventQueue } from '../../linux/sockets/event-queue.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import type { Protocol } from '../../ports/host-port.js'
import { Backend } from '../backend.js'
import { RelayLimits } from '../relay-limits.js'
import type { WaitingDial } from '../waiting-dials.js'
import type { Relay } from '../transport.js'
import { Dialer } from './dialer.js'
import { closeReactor, openReactor, type Reactor } from './reactor.js'
import { NativeRelay, type NativeRelayEvents, type RelayPort } from './relay.js'
import { Ring } from './ring.js'
import {
  message,
  ORDER,
  parseMessage,
  REPORT,
  setEnding,
  type RelayTable,
  type WorkerMemory,
} from './worker-memory.js'

/*
 * The program of a worker: a thread that relays data, and waits only for its sockets and for orders.
 */

/** What a worker is started with. */
export interface WorkerStart {
  readonly memory: WorkerMemory
  /** Pipes that the worker may have. */
  readonly pipes: number
}

/** Describes a port to a worker, before the first order for that port. */
export interface PortNotice {
  readonly number: number
  readonly protocol: Protocol
  readonly sendProxy: ProxyVersion | undefined
  /** Memory of the port's limits. */
  readonly limits: SharedArrayBuffer
  readonly container: SocketAddress
}

/** A worker's message: it now takes orders, or an internal error has ended a relay of this port. */
export type WorkerNotice = 'ready' | { readonly port: number; readonly fault: string }

interface KnownPort extends RelayPort {
  readonly dialer: Dialer
}

class WorkerThread {
  readonly #reactor: Reactor<BlockingPoller>
  readonly #orders: Ring
  readonly #reports: Ring
  readonly #table: RelayTable
  readonly #relays: (NativeRelay | undefined)[] = []
  readonly #ports = new Map<number, KnownPort>()

  constructor({ memory, pipes }: WorkerStart) {
    this.#reactor = openReactor(
      () => new BlockingPoller(),
      () => pipes,
    )
    this.#orders = new Ring(this.#reactor.syscalls, memory.orders)
    this.#reports = new Ring(this.#reactor.syscalls, memory.reports)
    this.#table = memory.relays
  }

  run(): void {
    const { poller } = this.#reactor
    // Edge-triggered, because nobody reads the eventfd.
    poller.watch(this.#orders.eventFd, EPOLL.IN | EPOLL.ET, {
      onReady: () => this.#orders.receive(this.#handleOrder),
      onError: (err: unknown) => {
        throw err
      },
    })
    notify('ready')
    try {
      poller.run()
      for (const relay of this.#relays) relay?.destroy()
    } finally {
      // After an internal error some relays are left.
      for (const relay of this.#relays) relay?.abort('fault')
      closeReactor(this.#reactor)
    }
  }

  readonly #handleOrder = (number: number): void => {
    const { kind, place } = parseMessage(number)
    switch (kind) {
      case ORDER.OPEN:
      case ORDER.ADOPT:
        this.#open(place, kind === ORDER.ADOPT)
        break
      case ORDER.DESTROY:
        this.#relays[place]?.destroy()
        break
      case ORDER.CANCEL:
        this.#relays[place]?.cancelDial()
        break
      case ORDER.ABORT:
        this.#relays[place]?.abort('idle')
        break
      case ORDER.FORGET:
        this.#ports.delete(place)
        break
      case ORDER.STOP:
        this.#reactor.poller.stop()
        break
    }
  }

  #open(place: number, isJoined: boolean): void {
    const table = this.#table
    const port = this.#port(table.ports[place] ?? -1)
    const backend = isJoined
      ? {
          fd: table.backends[place] ?? -1,
          dialMs: table.dialMs[place] ?? 0,
          bytesIn: table.bytesIn[place] ?? 0,
          bytesOut: table.bytesOut[place] ?? 0,
        }
      : {
          dial: () => (table.backends[place] = port.dialer.dial()),
          isSelfConnected: (fd: number) => port.dialer.isSelfConnected(fd),
          isOutOfPorts: (err: unknown) => port.dialer.isOutOfPorts(err),
          waitForPort: (dial: WaitingDial) => port.dialer.waitForPort(dial),
        }
    this.#relays[place] = new NativeRelay(
      this.#reactor,
      this.#eventsOf(place),
      table.clients[place] ?? -1,
      backend,
      port,
    )
  }

  #eventsOf(place: number): NativeRelayEvents {
    const table = this.#table
    const progressed = (relay: Relay): void => {
      const { dialMs, isHalfClosed, isThrottled, bytesIn, bytesOut } = relay
      table.dialMs[place] = dialMs ?? NaN
      table.halfClosed[place] = isHalfClosed ? 1 : 0
      table.throttled[place] = isThrottled ? 1 : 0
      table.bytesIn[place] = bytesIn
      table.bytesOut[place] = bytesOut
    }
    return {
      progressed,
      // The main thread takes the client's descriptor out of the table.
      dialEnded: (_relay, _client, err) => {
        this.#relays[place] = undefined
        table.backends[place] = -1
        table.errors[place] = err === undefined ? 0 : errnoOf(err)
        this.#reports.send(message(REPORT.DIAL_ENDED, place))
      },
      dialWaits: () => this.#reports.send(message(REPORT.DIAL_WAITS, place)),
      relayFaulted: (err) => {
        notify({ port: table.ports[place] ?? -1, fault: String(err) })
      },
      relayClosed: (relay, ending) => {
        this.#relays[place] = undefined
        table.clients[place] = table.backends[place] = -1
        setEnding(table, place, ending)
        progressed(relay)
        this.#reports.send(message(REPORT.CLOSED, place))
      },
    }
  }

  /** Notices come by Node's own channel, which this thread does not wait for. But each is sent before the order that needs it. */
  #port(number: number): KnownPort {
    for (;;) {
      const known = this.#ports.get(number)
      if (known) return known
      const received = parentPort && receiveMessageOnPort(parentPort)
      if (!received) throw new Error(`port number ${number} was not announced to this worker`)
      const notice = received.message as PortNotice
      const { protocol, sendProxy } = notice
      const { poller } = this.#reactor
      const limits = new RelayLimits((ms, callback) => poller.delay(ms, callback), notice.limits)
      const backend = new Backend(notice.container)
      const dialer = new Dialer(this.#reactor, protocol, backend, () => limits.userTimeoutMs)
      const isSctp = protocol === 'sctp'
      this.#ports.set(notice.number, { isSctp, sendProxy, limits, dialer, queue: new EventQueue() })
    }
  }
}

function notify(notice: WorkerNotice): void {
  parentPort?.postMessage(notice)
}

function errnoOf(err: unknown): number {
  const numbers: Record<string, number> = constants.errno
  return numbers[errnoCode(err) ?? ''] ?? ERRNO.EINVAL
}

const start = workerData as WorkerStart
let thread: WorkerThread
try {
  thread = new WorkerThread(start)
} finally {
  Atomics.store(start.memory.started, 0, 1)
  Atomics.notify(start.memory.started, 0)
}
thread.run()
