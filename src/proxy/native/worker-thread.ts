import { constants } from 'node:os'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { BlockingPoller } from '../../linux/blocking-poller.js'
import { EPOLL, ERRNO } from '../../linux/constants.js'
import { errnoCode } from '../../linux/errno.js'
import type { Relay } from '../connection-proxy.js'
import type { PublishedPort } from '../published-port.js'
import { dialer, type Dial } from './dialer.js'
import { closeKernel, openKernel, type Kernel } from './kernel.js'
import { NativeRelay, type NativeRelayEvents } from './relay.js'
import { Ring } from './ring.js'
import {
  message,
  ORDER,
  parseMessage,
  REPORT,
  type RelayTable,
  type WorkerMemory,
} from './worker-memory.js'

/*
 * The body of a worker: a thread that moves the data of relays, and waits for nothing but their sockets and its orders.
 */

/** What a worker is started with. */
export interface WorkerStart {
  readonly memory: WorkerMemory
  /** Pipes that it may have. */
  readonly pipes: number
}

/** What a worker is told before the first order that needs it. */
export interface PortNotice {
  readonly number: number
  readonly port: PublishedPort
}

/** What a worker tells: that it takes orders from now on, or that a relay of this port was ended by a fault. */
export type WorkerNotice = 'ready' | { readonly port: number; readonly fault: string }

interface KnownPort {
  readonly port: PublishedPort
  readonly dial: Dial
}

class WorkerThread {
  readonly #kernel: Kernel<BlockingPoller>
  readonly #orders: Ring
  readonly #reports: Ring
  readonly #table: RelayTable
  readonly #relays: (NativeRelay | undefined)[] = []
  readonly #ports = new Map<number, KnownPort>()

  constructor({ memory, pipes }: WorkerStart) {
    this.#kernel = openKernel(
      () => new BlockingPoller(),
      () => pipes,
    )
    this.#orders = new Ring(this.#kernel.calls, memory.orders)
    this.#reports = new Ring(this.#kernel.calls, memory.reports)
    this.#table = memory.relays
  }

  run(): void {
    const { poller } = this.#kernel
    // An edge for each time it rings: nobody reads it.
    poller.add(this.#orders.bell, EPOLL.IN | EPOLL.ET, {
      ready: () => this.#orders.receive(this.#obey),
      fail: (err) => {
        throw err
      },
    })
    notify('ready')
    try {
      poller.run()
      for (const relay of this.#relays) relay?.destroy()
    } finally {
      // After a fault there are some left.
      for (const relay of this.#relays) relay?.abort()
      closeKernel(this.#kernel)
    }
  }

  readonly #obey = (number: number): void => {
    const { kind, place } = parseMessage(number)
    switch (kind) {
      case ORDER.OPEN:
      case ORDER.ADOPT:
        this.#open(place, kind === ORDER.ADOPT)
        break
      case ORDER.DESTROY:
        this.#relays[place]?.destroy()
        break
      case ORDER.FORGET:
        this.#ports.delete(place)
        break
      case ORDER.STOP:
        this.#kernel.poller.stop()
        break
    }
  }

  #open(place: number, isJoined: boolean): void {
    const table = this.#table
    const { port, dial } = this.#port(table.ports[place] ?? -1)
    const backend = isJoined
      ? {
          fd: table.backends[place] ?? -1,
          bytesIn: table.bytesIn[place] ?? 0,
          bytesOut: table.bytesOut[place] ?? 0,
        }
      : (): number => (table.backends[place] = dial())
    this.#relays[place] = new NativeRelay(
      this.#kernel,
      this.#eventsOf(place),
      table.clients[place] ?? -1,
      backend,
      port.protocol === 'sctp',
    )
  }

  #eventsOf(place: number): NativeRelayEvents {
    const table = this.#table
    const advanced = ({ bytesIn, bytesOut }: Relay): void => {
      table.bytesIn[place] = bytesIn
      table.bytesOut[place] = bytesOut
    }
    return {
      advanced,
      dialFailed: (err) => {
        table.errors[place] = errnoOf(err)
        this.#reports.send(message(REPORT.DIAL_FAILED, place))
      },
      failed: (err) => {
        notify({ port: table.ports[place] ?? -1, fault: String(err) })
      },
      ended: (relay) => {
        this.#relays[place] = undefined
        table.clients[place] = table.backends[place] = -1
        advanced(relay)
        this.#reports.send(message(REPORT.ENDED, place))
      },
    }
  }

  /** Notices come by Node's way, which this thread does not wait for; but they are there before the order. */
  #port(number: number): KnownPort {
    for (;;) {
      const known = this.#ports.get(number)
      if (known) return known
      const received = parentPort && receiveMessageOnPort(parentPort)
      if (!received) throw new Error(`a worker was not told of port number ${number}`)
      const notice = received.message as PortNotice
      this.#ports.set(notice.number, {
        port: notice.port,
        dial: dialer(this.#kernel, notice.port),
      })
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

new WorkerThread(workerData as WorkerStart).run()
