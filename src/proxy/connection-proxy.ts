import { deferred } from '../deferred.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { keepYoungGenerationSmall } from '../memory/heap.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import type { Backend } from './backend.js'
import { BackendTurns, type Backends } from './backends.js'
import type { PausableListener } from './descriptor-budget.js'
import { DialFailures, type DialFailureReport } from './dial-failures.js'
import {
  zeroCounters,
  type Counters,
  type Proxy,
  type ProxyContext,
  type ProxyOptions,
  type StopOptions,
} from './engine.js'
import { HeldClients, type AcceptedClient } from './held-clients.js'
import { refuseLoop } from './loop.js'
import { NO_BACKEND } from './no-backend.js'
import type { RelayEnding } from './observer.js'
import type { PublishedPort } from './published-port.js'

/** Go's default keep-alive time, seconds. The kernel detects idle connections whose other end has vanished. */
export const KEEP_ALIVE_S = 15

/**
 * How an engine accepts connections of a port and relays them to the backend.
 * `Client` is an accepted connection in the engine's own form.
 */
export interface Transport<Client> {
  /** Opens the port's listening socket, or takes the one that was handed over. Rejects with ListenError. */
  openListener(port: PublishedPort, events: ListenerEvents<Client>): Promise<Listener>
  /**
   * Connects a client to the backend. Calls no event but `dialWaits` before it returns. A failed dial gives the client back.
   * @param client accepted, and not read from yet: its data waits in the kernel until the backend has answered
   */
  openRelay(client: Client, backend: Backend, events: RelayEvents<Client>): Relay
  /** Whether a client without a relay is still there, as far as that is known. */
  isOpen(client: Client): boolean
  /** Closes a client that has no relay. */
  discard(client: Client): void
  /** The client's address as `192.0.2.7:4711`. */
  clientAddress(client: Client): string
}

/** A listening socket that can pause: while it is paused it stays open, and new clients wait in the kernel's backlog. */
export interface Listener {
  readonly address: SocketAddress
  readonly fd: number | undefined
  /** @returns false if pausing is impossible, and the listener continues to accept */
  pause(): boolean
  resume(): void
  /** May be called again. */
  close(): void
}

export interface ListenerEvents<Client> {
  accepted(client: Client): void
  /** The socket stopped listening, although nobody closed it. */
  listenerBroke(err: Error): void
  /** An error in this program. The listener continues. */
  listenerFaulted(err: unknown): void
  /** The system has no descriptor or memory for one more connection. The listener tries again soon. */
  outOfResources(): void
}

/** A client and a backend that are joined. */
export interface Relay {
  /** Bytes from the client so far. */
  readonly bytesIn: number
  /** Bytes to the client so far. */
  readonly bytesOut: number
  /** Closes both sockets at once. */
  destroy(): void
  /** Unless the backend has answered, ends the relay and gives the client back: `dialEnded` follows, if need be later. */
  cancelDial(): void
}

export interface RelayEvents<Client> {
  /**
   * The backend could not be reached, or the dial was cancelled: then there is no error. The relay is over, without `relayClosed`. Nothing
   * was read from the client, which has no relay now.
   */
  dialEnded(relay: Relay, client: Client, backend: Backend, err: Error | undefined): void
  /** No local port is free for a dial, which waits. */
  dialWaits(backend: Backend): void
  /** An error in this program has ended the relay. */
  relayFaulted(err: unknown): void
  /** The relay continues as another one. */
  relayMoved(from: Relay, to: Relay): void
  /** Both sockets are closed. Called once for each relay, unless it has moved. */
  relayClosed(relay: Relay, ending: RelayEnding): void
}

/** Why a client was refused, as `ls` shows it. */
const NO_ANSWER = 'the container did not accept in time'
/** After this many connections, memory is released as soon as none is open. */
const BURST = 1_000
/** A port with this many open connections is likely to get many more. */
const MANY_CONNECTIONS = 1_000

/** Publishes a TCP or SCTP port. Rejects with ListenError. */
export async function listenForConnections<Client>(
  transport: Transport<Client>,
  port: PublishedPort,
  options: ProxyOptions,
  context: ProxyContext,
): Promise<Proxy> {
  const proxy = new ConnectionProxy(transport, port, options, context)
  await proxy.open()
  return proxy
}

/** One object with few closures: a process may have thousands of ports. */
class ConnectionProxy<Client>
  implements Proxy, ListenerEvents<Client>, RelayEvents<Client>, PausableListener
{
  /** The counts, but bytes of closed relays only: open relays have their own. */
  readonly #counters = zeroCounters()
  readonly #relays = new Map<Relay, TrackedClient<Client> | undefined>()
  readonly #failures = new DialFailures()
  readonly #backends: BackendTurns
  #holdMs: number
  readonly #held: HeldClients<TrackedClient<Client>>
  readonly #closed = deferred()
  #listener!: Listener
  #unregister!: () => void
  #isDraining = false
  #isStopped = false
  /** Connections that had been accepted when memory was released. */
  #acceptedAtRelease = 0
  #drainTimer: NodeJS.Timeout | undefined

  constructor(
    private readonly transport: Transport<Client>,
    private readonly port: PublishedPort,
    private readonly options: ProxyOptions,
    private readonly context: ProxyContext,
  ) {
    const { addresses, holdMs } = options.backends ?? { addresses: [port.container], holdMs: 0 }
    this.#backends = new BackendTurns(addresses)
    this.#holdMs = holdMs
    this.#held = new HeldClients<TrackedClient<Client>>(
      {
        isServed: () => this.#backends.isSome,
        serve: (held) => this.#serveHeld(held),
        refuse: ({ client }) =>
          this.#refuse(client, this.#backends.isSome ? NO_ANSWER : NO_BACKEND),
      },
      () => this.#holdMs,
    )
  }

  /** Rejects with ListenError. */
  async open(): Promise<void> {
    this.#listener = await this.transport.openListener(this.port, this)
    refuseLoop(this.port, this.#listener)
    this.#unregister = this.context.descriptors.register(this)
  }

  get address(): SocketAddress {
    return this.#listener.address
  }

  get listenFd(): number | undefined {
    return this.#listener.fd
  }

  get counters(): Readonly<Counters> {
    const counters: Counters = { ...this.#counters }
    for (const { bytesIn, bytesOut } of this.#relays.keys()) {
      counters.bytesIn += bytesIn
      counters.bytesOut += bytesOut
    }
    return counters
  }

  get dialFailures(): DialFailureReport {
    return this.#failures.report()
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  changeBackends({ addresses, holdMs }: Backends): void {
    this.#backends.replace(addresses)
    this.#holdMs = holdMs
    // An address that has left may belong to another container by the time a dial would succeed.
    for (const relay of [...this.#relays.keys()]) relay.cancelDial()
    for (const held of this.#held.takeAll()) this.#serveHeld(held)
  }

  stop({ drainMs = 0 }: StopOptions = {}): void {
    clearTimeout(this.#drainTimer)
    this.#stopListening()
    if (drainMs > 0 && this.#counters.active > 0) {
      this.#isDraining = true
      if (drainMs < Infinity) this.#drainTimer = setTimeout(() => this.stop(), drainMs)
      return
    }
    this.#destroyRelays()
    this.#closed.resolve()
  }

  listenerBroke(reason: Error): void {
    this.#stopListening()
    this.#destroyRelays()
    this.#closed.reject(reason)
  }

  accepted(client: Client): void {
    const { observer } = this.options
    const { descriptors } = this.context
    const counters = this.#counters
    counters.accepted++
    counters.active++
    if (counters.active === MANY_CONNECTIONS) keepYoungGenerationSmall()
    descriptors.acquire()
    observer.accepted()
    const tracked =
      observer.wantsRelays || this.#holdMs > 0
        ? { client, address: this.#addressOf(client), acceptedAt: performance.now() }
        : undefined
    this.#serve(client, tracked)
  }

  outOfResources(): void {
    this.#reportShortage('connections-wait')
  }

  pause(): void {
    this.#reportShortage(this.#listener.pause() ? 'connections-wait' : 'connections-dropped')
  }

  resume(): void {
    this.#listener.resume()
  }

  listenerFaulted(err: unknown): void {
    this.options.observer.faulted(err)
  }

  relayFaulted(err: unknown): void {
    this.options.observer.faulted(err)
  }

  dialEnded(relay: Relay, client: Client, backend: Backend, err: Error | undefined): void {
    const tracked = this.#relays.get(relay)
    this.#relays.delete(relay)
    if (err === undefined) {
      return this.#isStopped ? this.#discard(client) : this.#serve(client, tracked)
    }
    if (tracked && this.#mayWait(tracked) && this.transport.isOpen(client)) {
      return this.#held.add(tracked)
    }
    this.#counters.failedDials++
    this.#failures.note(err)
    this.options.observer.dialFailed(backend.address, err)
    if (tracked) this.#reportClosed(tracked, { bytesIn: 0, bytesOut: 0 }, 'dial-failed')
    this.#discard(client)
  }

  dialWaits(backend: Backend): void {
    this.options.observer.dialWaits(backend.address)
  }

  relayMoved(from: Relay, to: Relay): void {
    this.#relays.set(to, this.#relays.get(from))
    this.#relays.delete(from)
  }

  relayClosed(relay: Relay, ending: RelayEnding): void {
    const tracked = this.#relays.get(relay)
    this.#relays.delete(relay)
    const { bytesIn, bytesOut } = relay
    const counters = this.#counters
    counters.active--
    counters.bytesIn += bytesIn
    counters.bytesOut += bytesOut
    if (tracked) this.#reportClosed(tracked, relay, ending)
    this.context.descriptors.release()
    if (counters.active === 0 && counters.accepted - this.#acceptedAtRelease >= BURST) {
      this.#acceptedAtRelease = counters.accepted
      releaseMemorySoon()
    }
    this.#afterDisconnect()
  }

  #afterDisconnect(): void {
    if (this.#isDraining && this.#counters.active === 0) this.stop()
  }

  /** Joins an accepted client with a backend. While there is none, the client waits or is refused. */
  #serve(client: Client, tracked: TrackedClient<Client> | undefined): void {
    const backend = this.#backends.next()
    if (backend) this.#openRelay(client, backend, tracked)
    else if (tracked && this.#mayWait(tracked)) this.#held.add(tracked)
    else this.#refuse(client, NO_BACKEND)
  }

  /** Never throws. */
  #serveHeld(held: TrackedClient<Client>): void {
    if (!this.transport.isOpen(held.client)) return this.#discard(held.client)
    try {
      this.#serve(held.client, held)
    } catch (err) {
      this.options.observer.faulted(err)
    }
  }

  #mayWait({ acceptedAt }: TrackedClient<Client>): boolean {
    return !this.#isStopped && performance.now() < acceptedAt + this.#holdMs
  }

  #addressOf(client: Client): string {
    return this.options.observer.wantsRelays ? this.transport.clientAddress(client) : ''
  }

  #reportClosed(
    { address, acceptedAt }: TrackedClient<Client>,
    { bytesIn, bytesOut }: Pick<Relay, 'bytesIn' | 'bytesOut'>,
    ending: RelayEnding,
  ): void {
    if (!this.options.observer.wantsRelays) return
    const durationMs = Math.round(performance.now() - acceptedAt)
    this.options.observer.relayClosed({ client: address, bytesIn, bytesOut, durationMs, ending })
  }

  #openRelay(client: Client, backend: Backend, tracked: TrackedClient<Client> | undefined): void {
    try {
      this.#relays.set(this.transport.openRelay(client, backend, this), tracked)
    } catch (err) {
      this.#discard(client)
      throw err
    }
  }

  #refuse(client: Client, reason: string): void {
    this.#counters.failedDials++
    this.#failures.note(new Error(reason))
    this.#discard(client)
  }

  /** Closes a client that was accepted and has no relay. */
  #discard(client: Client): void {
    this.#counters.active--
    this.context.descriptors.release()
    this.transport.discard(client)
    this.#afterDisconnect()
  }

  #destroyRelays(): void {
    this.#isStopped = true
    for (const { client } of this.#held.takeAll()) this.#discard(client)
    for (const relay of this.#relays.keys()) relay.destroy()
  }

  #stopListening(): void {
    this.#unregister()
    this.#listener.close()
    this.options.observer.stopped()
  }

  #reportShortage(effect: 'connections-wait' | 'connections-dropped'): void {
    const { descriptors } = this.context
    if (!descriptors.shouldReportShortage()) return
    this.options.observer.shortage({ effect, capacity: descriptors.capacity })
  }
}

/** A client that may be held, or whose end the observer wants to know. */
interface TrackedClient<Client> extends AcceptedClient<Client> {
  /** Empty unless the observer wants it. */
  readonly address: string
}
