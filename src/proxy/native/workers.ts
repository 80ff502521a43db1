import type { ClientConnection } from '../proxy-header.js'
import type { PortOptions } from '../port-options.js'
import { RelayLimits } from '../relay-limits.js'
import { errnoReason } from '../../linux/errno.js'
import { EventQueue } from '../../linux/sockets/event-queue.js'
import type { NodePoller } from '../../linux/sockets/node-poller.js'
import type { Log } from '../../log/log.js'
import type { Protocol } from '../../ports/host-port.js'
import type { Backend } from '../backend.js'
import { NO_PAUSES, type Pauses, type Relay, type RelayEvents } from '../transport.js'
import { maxThreads, pipesPerThread } from '../descriptor-shares.js'
import { Dialer } from './dialer.js'
import type { Reactor } from './reactor.js'
import { NativeRelay, type NativeRelayEvents } from './relay.js'
import type { WorkerPort } from './worker-port.js'
import { Worker } from './worker.js'
import { Workload } from './workload.js'

/** Workers without relays are stopped after this time, milliseconds. */
const IDLE_MS = 30_000
/** Wait after a worker could not be started, milliseconds. */
const RETRY_MS = 60_000

/** A relay of the main thread. */
type OwnRelay = Relay & Pick<NativeRelay, 'detach'>

type OpenRelay = (client: number, announced: ClientConnection | undefined) => Relay

/** Opens the relays of one port. */
export interface RelayFactory {
  /** @param announced the connection that a balancer has announced */
  open(
    client: number,
    backend: Backend,
    events: RelayEvents<number>,
    announced: ClientConnection | undefined,
  ): Relay
  /** Follows other options, but `sendProxy` stays as it was. */
  changeOptions(options: PortOptions): void
  /** See Transport.pauses. */
  readonly pauses: Pauses
  /** The port has no more clients. */
  close(): void
}

/**
 * The threads that relay data: first the main thread alone, and when it is busy, workers beside it.
 *
 *     clients ──▶ listener in the ──▶ thread with the ──▶ main thread
 *                 main thread         fewest relays   └─▶ worker, worker, …
 */
export class Workers {
  /** Includes a worker that is still starting. */
  #workers: readonly Worker[] = []
  /** Relays of the main thread, and their ports. */
  readonly #relays = new Map<OwnRelay, WorkerPort>()
  readonly #workload: Workload
  #ports = 0
  /** No worker is started before this time, by performance.now(), milliseconds. */
  #notBefore = 0
  #idleCheck: NodeJS.Timeout | undefined

  /**
   * @param log of the engine
   * @param threads at most, the main thread included
   * @param idleMs time after which a worker without relays is stopped, milliseconds
   */
  constructor(
    private readonly reactor: Reactor<NodePoller>,
    private readonly log: Log,
    private readonly threads: number,
    private readonly idleMs = IDLE_MS,
  ) {
    this.#workload = new Workload(reactor)
  }

  /** Workers that take clients. */
  get count(): number {
    return this.#workers.filter(({ isReady }) => isReady).length
  }

  /** Makes the factory of a port's relays. */
  relayFactory(protocol: Protocol, options: PortOptions): RelayFactory {
    this.reactor.poller.onBusy ??= () => {
      if (this.#hasRoom && this.#workload.benefitsFromThread()) this.add()
    }
    // Workers know a port with one backend by a number. A port gets a number with its first client, because many ports never have a client.
    const numbers: number[] = []
    const openRelays = new WeakMap<Backend, OpenRelay>()
    let limits: RelayLimits | undefined
    // The header is for TCP.
    const sendProxy = protocol === 'tcp' ? options.sendProxy : undefined
    return {
      open: (client, backend, events, announced) => {
        let openRelay = openRelays.get(backend)
        if (!openRelay) {
          const number = this.#ports++
          numbers.push(number)
          limits ??= this.#limitsOf(options)
          openRelay = this.#makeOpenRelay({ number, protocol, sendProxy, limits, backend, events })
          openRelays.set(backend, openRelay)
        }
        return openRelay(client, announced)
      },
      changeOptions: (changed) => {
        options = changed
        limits?.follow(changed)
      },
      get pauses() {
        return limits?.pauses ?? NO_PAUSES
      },
      close: () => {
        for (const worker of this.#workers) numbers.forEach((number) => worker.forgetPort(number))
      },
    }
  }

  /** Starts one more worker, unless there are as many as allowed. */
  add(): void {
    if (!this.#hasRoom) return
    try {
      const worker = new Worker(this.reactor, pipesPerThread(maxThreads(this.threads)), {
        ready: () => {
          this.#moveRelays(worker)
          this.log.info('Busy: one more thread shares the work', { threads: this.count + 1 })
        },
        ended: (reason) => {
          this.#workers = this.#workers.filter((other) => other !== worker)
          if (reason) this.#workerFailed(reason)
        },
      })
      this.#workers = [...this.#workers, worker]
    } catch (err) {
      this.#workerFailed(err)
    }
    if (this.#idleCheck) return
    this.#idleCheck = setInterval(() => this.#stopIdle(), this.idleMs).unref()
    // Node waits for its threads before it ends, and these would wait for their sockets for ever.
    process.on('exit', this.#atExit)
  }

  /** Ends all workers and their relays. */
  readonly stop = (): void => {
    clearInterval(this.#idleCheck)
    this.#idleCheck = undefined
    process.off('exit', this.#atExit)
    for (const worker of this.#workers) worker.stop()
  }

  readonly #atExit = (): void => {
    const workers = this.#workers
    this.stop()
    for (const worker of workers) worker.waitForStart()
  }

  #limitsOf(options: PortOptions): RelayLimits {
    const { poller } = this.reactor
    const limits = new RelayLimits((milliseconds, callback) => poller.delay(milliseconds, callback))
    limits.follow(options)
    return limits
  }

  /** How a client of this port gets a relay. */
  #makeOpenRelay(port: WorkerPort): OpenRelay {
    const { protocol, sendProxy, limits, backend, events } = port
    const ownEvents: NativeRelayEvents = {
      dialEnded: (relay, client, err) => {
        this.#relays.delete(relay as OwnRelay)
        events.dialEnded(relay, client, backend, err)
      },
      dialWaits: () => events.dialWaits(backend),
      relayFaulted: (err) => events.relayFaulted(err),
      relayClosed: (relay, ending) => {
        this.#relays.delete(relay as OwnRelay)
        events.relayClosed(relay, ending)
      },
    }
    const dialer = new Dialer(this.reactor, protocol, backend, () => limits.userTimeoutMs)
    const relayPort = { isSctp: protocol === 'sctp', sendProxy, limits, queue: new EventQueue() }
    return (client, announced) => {
      // A worker does not know the announced connection. The relay may move to a worker later.
      const worker = announced && sendProxy ? undefined : this.#leastLoadedWorker()
      if (worker) return worker.open(port, client)
      const relay = new NativeRelay(
        ...([this.reactor, ownEvents, client, dialer, relayPort] as const),
        announced,
      )
      this.#relays.set(relay, port)
      return relay
    }
  }

  #workerFailed(reason: unknown): void {
    this.#notBefore = performance.now() + RETRY_MS
    this.log.warn(`A worker of the proxy has failed, and the others go on: ${errnoReason(reason)}`)
  }

  /** Whether one more worker is allowed, and none is starting. */
  get #hasRoom(): boolean {
    if (performance.now() < this.#notBefore || this.count < this.#workers.length) return false
    return this.#workers.length + 1 < maxThreads(this.threads)
  }

  /** The worker with the fewest relays; undefined if the main thread has fewer. */
  #leastLoadedWorker(): Worker | undefined {
    let chosen: Worker | undefined
    let fewest = this.#relays.size
    for (const worker of this.#workers) {
      if (worker.active >= fewest || !worker.hasRoom) continue
      fewest = worker.active
      chosen = worker
    }
    return chosen
  }

  /** Moves a fair share of the main thread's relays to a new worker. */
  #moveRelays(worker: Worker): void {
    let remaining = Math.floor(this.#relays.size / (this.count + 1))
    for (const [relay, port] of this.#relays) {
      if (remaining <= 0 || !worker.hasRoom) break
      const joined = relay.detach()
      if (!joined) continue
      remaining--
      this.#relays.delete(relay)
      port.events.relayMoved(relay, worker.open(port, joined.client, joined))
    }
  }

  #stopIdle(): void {
    for (const worker of this.#workers) worker.stopIfIdle()
  }
}
