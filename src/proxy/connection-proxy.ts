import { deferred } from '../deferred.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { keepYoungGenerationSmall } from '../memory/heap.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import { AnnouncedClients } from './announced-clients.js'
import type { Backend } from './backend.js'
import { BackendTurns, type Backends } from './backends.js'
import type { PausableListener } from './descriptor-budget.js'
import { DialFailures, type DialFailureReport } from './dial-failures.js'
import { Durations, type DurationReport } from './durations.js'
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
import { Admission } from './admission.js'
import { joinHostPort } from '../ports/host-port.js'
import { dialTimedOut } from './listen-error.js'
import { DEFAULT_PORT_OPTIONS, type PortOptions } from './port-options.js'
import { RelayTimeouts, type TimeoutEvents } from './relay-timeouts.js'
import type { Listener, ListenerEvents, Relay, RelayEvents, Transport } from './transport.js'
import { NO_BACKEND } from './no-backend.js'
import type { RelayEnding } from './observer.js'
import type { ParsedHeader } from './parse-proxy-header.js'
import type { ClientConnection } from './proxy-header.js'
import type { PublishedPort } from './published-port.js'

/** Why a client was refused, as `ls` shows it. */
const NO_ANSWER = 'the container did not accept in time'
/** The address of a client that has gone, see Transport.clientAddress. */
const UNKNOWN_IP = '?'
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
  implements Proxy, ListenerEvents<Client>, RelayEvents<Client>, PausableListener, TimeoutEvents
{
  /** The counts, but bytes of closed relays only: open relays have their own. */
  readonly #counters = zeroCounters()
  readonly #relays = new Map<Relay, Accepted<Client>>()
  readonly #durations = new Durations()
  /** Relays whose backend took too long to accept, until their dial has ended. */
  readonly #timedOut = new Set<Relay>()
  readonly #admission: Admission<TrackedClient<Client>>
  readonly #announced: AnnouncedClients<Client, TrackedClient<Client>>
  #timeouts: RelayTimeouts
  readonly #failures = new DialFailures()
  readonly #backends: BackendTurns
  #holdMs: number
  readonly #held: HeldClients<TrackedClient<Client>>
  readonly #closed = deferred()
  #listener!: Listener
  #unregister!: () => void
  /** Whether the process has no descriptor for one more client. */
  #isShort = false
  #isPaused = false
  #isListening = true
  #isDraining = false
  #isStopped = false
  /** Connections that had been accepted when memory was released. */
  #acceptedAtRelease = 0
  #drainTimer: NodeJS.Timeout | undefined
  /** Runs while clients wait because too many came in a short time. */
  #rateTimer: NodeJS.Timeout | undefined

  constructor(
    private readonly transport: Transport<Client>,
    private readonly port: PublishedPort,
    private readonly options: ProxyOptions,
    private readonly context: ProxyContext,
  ) {
    const { addresses, holdMs } = options.backends ?? { addresses: [port.container], holdMs: 0 }
    this.#backends = new BackendTurns(addresses)
    this.#holdMs = holdMs
    const portOptions = options.portOptions ?? DEFAULT_PORT_OPTIONS
    this.#admission = new Admission(portOptions)
    this.#timeouts = this.#timeoutsOf(portOptions)
    this.#announced = new AnnouncedClients(
      this.#withoutForeignHeaders(portOptions),
      (client, done) => this.transport.readHeader(client, done),
      (tracked, header) => this.#clientAnnounced(tracked, header),
    )
    this.#held = new HeldClients<TrackedClient<Client>>(
      {
        isServed: () => this.#backends.isSome,
        serve: (held) => this.#serveHeld(held),
        refuse: (held) =>
          this.#refuseUnserved(held.client, held, this.#backends.isSome ? NO_ANSWER : NO_BACKEND),
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
    return this.#isListening ? this.#listener.fd : undefined
  }

  get counters(): Readonly<Counters> {
    const { pausedIn, pausedOut } = this.transport.pauses
    const counters: Counters = { ...this.#counters, pausedIn, pausedOut }
    for (const { bytesIn, bytesOut } of this.#relays.keys()) {
      counters.bytesIn += bytesIn
      counters.bytesOut += bytesOut
    }
    return counters
  }

  get dialFailures(): DialFailureReport {
    return this.#failures.report()
  }

  get durations(): DurationReport {
    return this.#durations.report()
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

  changeOptions(options: PortOptions): void {
    this.#timeouts.close()
    this.#timeouts = this.#timeoutsOf(options)
    this.#admission.follow(options)
    this.#announced.follow(this.#withoutForeignHeaders(options))
    clearTimeout(this.#rateTimer)
    this.#rateTimer = undefined
    this.transport.changeOptions(options)
    if (this.#relays.size > 0 && !this.#isStopped) this.#timeouts.opened()
    this.#pauseOrResume()
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
    const admission = this.#admission
    const needsAddress = admission.needsAddress || this.#announced.isExpected
    const ip = needsAddress ? this.transport.clientAddress(client).ip : ''
    const isAnnounced = this.#announced.isFrom(ip)
    // A listener that can't pause accepts clients that should wait.
    const excess = this.#isFull(admission.waitMs) ? 'excessClients' : undefined
    const refusal = this.#refusalOfPeer(ip, isAnnounced) ?? excess
    if (refusal) {
      counters[refusal]++
      return this.transport.discard(client)
    }
    const acceptedAt = Math.floor(performance.now())
    const isReported = observer.wantsRelay()
    const tracked =
      isAnnounced || isReported || this.#holdMs > 0 || admission.countsMembers
        ? { client, address: isReported ? this.#addressOf(client) : '', acceptedAt, backend: '' }
        : undefined
    counters.accepted++
    counters.active++
    admission.count()
    this.#pauseOrResume()
    if (counters.active === MANY_CONNECTIONS) keepYoungGenerationSmall()
    descriptors.acquire()
    observer.accepted()
    if (tracked && isAnnounced) return this.#announced.add(tracked)
    if (tracked) admission.add(ip, tracked)
    this.#serve(client, tracked ?? acceptedAt)
  }

  outOfResources(): void {
    this.#reportShortage('connections-wait')
  }

  pause(): void {
    this.#isShort = true
    this.#pauseOrResume()
    this.#reportShortage(this.#isPaused ? 'connections-wait' : 'connections-dropped')
  }

  resume(): void {
    this.#isShort = false
    this.#pauseOrResume()
  }

  dialTimedOut(relay: Relay): void {
    this.#timedOut.add(relay)
    relay.cancelDial()
  }

  wentIdle(relay: Relay): void {
    relay.abort('idle')
  }

  listenerFaulted(err: unknown): void {
    this.options.observer.faulted(err)
  }

  relayFaulted(err: unknown): void {
    this.options.observer.faulted(err)
  }

  dialEnded(relay: Relay, client: Client, backend: Backend, err: Error | undefined): void {
    const accepted = this.#take(relay)
    if (this.#timedOut.delete(relay)) err = dialTimedOut()
    if (err === undefined) {
      return this.#isStopped
        ? this.#discard(client, accepted, 'stopped')
        : this.#serve(client, accepted)
    }
    if (this.#mayWait(accepted) && this.transport.isOpen(client)) return this.#held.add(accepted)
    this.#counters.failedDials++
    this.#failures.note(err)
    this.options.observer.dialFailed(backend.address, err)
    this.#discard(client, accepted, 'dial-failed')
  }

  dialWaits(backend: Backend): void {
    this.options.observer.dialWaits(backend.address)
  }

  relayMoved(from: Relay, to: Relay): void {
    this.#relays.set(to, this.#take(from))
    // The backend has accepted in the last moment.
    this.#timedOut.delete(from)
  }

  relayClosed(relay: Relay, ending: RelayEnding): void {
    const accepted = this.#take(relay)
    this.#timedOut.delete(relay)
    const { bytesIn, bytesOut } = relay
    const counters = this.#counters
    this.#clientLeft(accepted, relay, ending)
    counters.active--
    counters.bytesIn += bytesIn
    counters.bytesOut += bytesOut
    this.context.descriptors.release()
    if (counters.active === 0 && counters.accepted - this.#acceptedAtRelease >= BURST) {
      this.#acceptedAtRelease = counters.accepted
      releaseMemorySoon()
    }
    this.#afterDisconnect()
  }

  /** The client of a relay that is over. */
  #take(relay: Relay): Accepted<Client> {
    const accepted = this.#relays.get(relay)
    this.#relays.delete(relay)
    return accepted ?? performance.now()
  }

  /** The PROXY protocol has a header for TCP alone. */
  #withoutForeignHeaders(options: PortOptions): PortOptions {
    return this.port.protocol === 'tcp' ? options : { ...options, acceptProxy: [] }
  }

  #timeoutsOf(options: PortOptions): RelayTimeouts {
    const {
      dialTimeoutMs: dialMs,
      idleTimeoutMs: idleMs = Infinity,
      halfClosedTimeoutMs: halfClosedMs,
    } = options
    return new RelayTimeouts({ dialMs, idleMs, halfClosedMs }, () => this.#relays.keys(), this)
  }

  #afterDisconnect(): void {
    this.#pauseOrResume()
    if (this.#isDraining && this.#counters.active === 0) this.stop()
  }

  /** Joins an accepted client with a backend. While there is none, the client waits or is refused. */
  #serve(client: Client, accepted: Accepted<Client>): void {
    const backend = this.#backends.next()
    if (backend) this.#openRelay(client, backend, accepted)
    else if (this.#mayWait(accepted)) this.#held.add(accepted)
    else this.#refuseUnserved(client, accepted, NO_BACKEND)
  }

  /** Never throws. */
  #serveHeld(held: TrackedClient<Client>): void {
    if (!this.transport.isOpen(held.client)) {
      return this.#discard(held.client, held, 'client-reset')
    }
    try {
      this.#serve(held.client, held)
    } catch (err) {
      this.options.observer.faulted(err)
    }
  }

  #mayWait(accepted: Accepted<Client>): accepted is TrackedClient<Client> {
    if (this.#isStopped || !isTracked(accepted)) return false
    return performance.now() < accepted.acceptedAt + this.#holdMs
  }

  #addressOf(client: Client): string {
    const { ip, port } = this.transport.clientAddress(client)
    return joinHostPort(ip, port)
  }

  /** The counter of clients like the other end of a connection, if it may not connect. @param ip empty if it does not count */
  #refusalOfPeer(ip: string, isAnnounced: boolean): 'deniedClients' | 'excessClients' | undefined {
    if (isAnnounced) return this.#admission.denies(ip) ? 'deniedClients' : undefined
    // A client that has gone may have been a balancer. Its header must not reach the container as data.
    if (this.#announced.isExpected && ip === UNKNOWN_IP) return 'deniedClients'
    return this.#refusalOf(ip)
  }

  /** The counter of clients like this one, if it may not connect. @param ip of the client; empty if it does not count */
  #refusalOf(ip: string): 'deniedClients' | 'excessClients' | undefined {
    if (!this.#admission.allows(ip)) return 'deniedClients'
    return this.#admission.fullNetwork(ip) && 'excessClients'
  }

  /** A balancer has announced a client, or has sent no valid header in time. Never throws. */
  #clientAnnounced(tracked: TrackedClient<Client>, header: ParsedHeader | undefined): void {
    const { client } = tracked
    if (!header) {
      this.#counters.deniedClients++
      return this.#discard(client, tracked, 'no-header')
    }
    const { connection } = header
    const address = connection?.client ?? this.transport.clientAddress(client)
    tracked.announced = connection
    if (tracked.address !== '') tracked.address = joinHostPort(address.ip, address.port)
    const refusal = this.#refusalOf(address.ip)
    if (refusal) {
      this.#counters[refusal]++
      return this.#discard(client, tracked, 'refused')
    }
    this.#admission.add(address.ip, tracked)
    this.#serveHeld(tracked)
  }

  /** Whether no client may connect now. @param waitMs of the admission */
  #isFull(waitMs: number): boolean {
    return waitMs > 0 || this.#admission.isFull(this.#counters.active)
  }

  /** While no client can be served, clients wait in the backlog. */
  #pauseOrResume(): void {
    if (this.#isStopped || this.#isDraining) return
    // Read once: with a second value of 0, the listener would pause without a timer.
    const { waitMs } = this.#admission
    const waits = this.#isShort || (this.#isFull(waitMs) && this.#admission.letsWait)
    // The timer keeps the process alive. Without connections, nothing else does while the listener pauses.
    if (waits && waitMs > 0) this.#rateTimer ??= setTimeout(this.#rateElapsed, Math.ceil(waitMs))
    if (waits === this.#isPaused) return
    if (!waits) this.#listener.resume()
    this.#isPaused = waits && this.#listener.pause()
  }

  readonly #rateElapsed = (): void => {
    this.#rateTimer = undefined
    this.#pauseOrResume()
  }

  #clientLeft(accepted: Accepted<Client>, relay: RelayResult, ending: RelayEnding): void {
    const acceptedAt = isTracked(accepted) ? accepted.acceptedAt : accepted
    const durationMs = Math.floor(performance.now()) - acceptedAt
    this.#durations.note(durationMs)
    if (!isTracked(accepted)) return
    this.#admission.left(accepted)
    this.#reportClosed(accepted, relay, durationMs, ending)
  }

  /** Also notes the backend, for the report of the end. A client that has waited for a backend is reported once. */
  #reportOpened(tracked: TrackedClient<Client>, { address: { ip, port } }: Backend): void {
    const isFirst = tracked.backend === ''
    tracked.backend = joinHostPort(ip, port)
    if (!isFirst) return
    const { address: client, backend } = tracked
    this.options.observer.relayOpened({ client, backend, active: this.#counters.active })
  }

  #reportClosed(
    { address: client, backend }: TrackedClient<Client>,
    { dialMs, bytesIn, bytesOut }: RelayResult,
    durationMs: number,
    ending: RelayEnding,
  ): void {
    if (client === '') return
    this.options.observer.relayClosed({
      ...{ client, backend, bytesIn, bytesOut, durationMs, ending },
      ...(dialMs === undefined ? {} : { dialMs }),
      active: this.#counters.active,
    })
  }

  #openRelay(client: Client, backend: Backend, accepted: Accepted<Client>): void {
    const tracked = isTracked(accepted) ? accepted : undefined
    if (tracked && tracked.address !== '') this.#reportOpened(tracked, backend)
    this.#timeouts.opened()
    try {
      const relay = this.transport.openRelay(client, backend, this, tracked?.announced)
      this.#relays.set(relay, accepted)
    } catch (err) {
      this.#discard(client, accepted, 'fault')
      throw err
    }
  }

  /** Closes a client for which there is no backend. */
  #refuseUnserved(client: Client, accepted: Accepted<Client>, reason: string): void {
    this.#counters.failedDials++
    this.#failures.note(new Error(reason))
    this.#discard(client, accepted, 'dial-failed')
  }

  /** Closes a client that was accepted and has no relay. */
  #discard(client: Client, accepted: Accepted<Client>, ending: RelayEnding): void {
    this.#clientLeft(accepted, { dialMs: undefined, bytesIn: 0, bytesOut: 0 }, ending)
    this.#counters.active--
    this.context.descriptors.release()
    this.transport.discard(client)
    this.#afterDisconnect()
  }

  #destroyRelays(): void {
    this.#isStopped = true
    this.#timeouts.close()
    for (const each of [...this.#announced.takeAll(), ...this.#held.takeAll()]) {
      this.#discard(each.client, each, 'stopped')
    }
    for (const relay of this.#relays.keys()) relay.destroy()
  }

  #stopListening(): void {
    this.#isListening = false
    clearTimeout(this.#rateTimer)
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

/** A client that may be held, that counts for its network, or whose end the observer wants to know. */
interface TrackedClient<Client> extends AcceptedClient<Client> {
  /** Empty unless the connection is to be reported. */
  address: string
  /** The connection that a balancer has announced. */
  announced?: ClientConnection | undefined
  /** The backend that was dialled last; empty unless the connection is to be reported. */
  backend: string
}

/** A client by itself, or the time of its accept alone, by performance.now(), whole milliseconds: V8 keeps small integers without an object. */
type Accepted<Client> = TrackedClient<Client> | number

function isTracked<Client>(accepted: Accepted<Client>): accepted is TrackedClient<Client> {
  return typeof accepted !== 'number'
}

type RelayResult = Pick<Relay, 'dialMs' | 'bytesIn' | 'bytesOut'>
