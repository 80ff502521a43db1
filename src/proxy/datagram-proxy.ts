import { deferred } from '../deferred.js'
import { errnoCode } from '../linux/errno.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { joinHostPort } from '../ports/host-port.js'
import type { Backend } from './backend.js'
import { BackendTurns, type Backends } from './backends.js'
import { Admission } from './admission.js'
import type { FlowOwner } from './descriptor-budget.js'
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
import { FlowTable, type FlowEntry } from './flow-table.js'
import { receives, refuseLoop } from './loop.js'
import type { RelayEnding } from './observer.js'
import { DEFAULT_PORT_OPTIONS, type PortOptions } from './port-options.js'
import { datagramHeader } from './proxy-header.js'
import type { PublishedPort } from './published-port.js'
import { RelayLimits } from './relay-limits.js'

/** A flow ends after this idle time, milliseconds; the same as in the original. */
const IDLE_MS = 90_000
/** A flow takes a descriptor, so none lives for ever, milliseconds. */
const LONGEST_IDLE_MS = 86_400_000
/** Errors that the network reports about an earlier datagram, by ICMP. Source: icmp_err_convert in the kernel. */
const NETWORK_ERRORS: readonly (string | undefined)[] = [
  'ECONNREFUSED',
  'EHOSTDOWN',
  'EHOSTUNREACH',
  'EMSGSIZE',
  'ENETUNREACH',
  'ENONET',
  'ENOPROTOOPT',
  'EOPNOTSUPP',
]

/** Whether an error of a flow's socket is about an earlier datagram only: the flow goes on. A failed dial ends it, whatever the error. */
export function isNetworkError(err: unknown): boolean {
  return NETWORK_ERRORS.includes(errnoCode(err))
}

const NO_HEADER = Buffer.alloc(0)

/** How often a datagram is sent again if it met the backend's refusal of an earlier one. */
export const MAX_RETRIES = 3
/** Receive buffer for a burst of datagrams, bytes. The kernel reduces it to net.core.rmem_max, see socket(7). */
export const RECEIVE_BUFFER = 2 * 1024 * 1024
/** Flows of a port at most, whatever its options are. The table of the original grows without limit. */
const MAX_FLOWS = 16_384

/**
 * How an engine receives datagrams of a port and sends them to the backend. `Datagram` is a received datagram in the engine's own form,
 * valid until the callback that delivers it returns.
 */
export interface DatagramTransport<Datagram> {
  /** Binds the port, or takes the socket that was handed over. Rejects with ListenError. */
  openSocket(port: PublishedPort, events: PortSocketEvents<Datagram>): Promise<PortSocket>
  /**
   * Opens a socket to the backend for the client that sent `first`; the client receives the replies.
   * @param header before each datagram to the backend; empty for none
   */
  openFlow(first: Datagram, backend: Backend, events: FlowEvents, header: Buffer): Flow<Datagram>
  clientAddress(datagram: Datagram): SocketAddress
  /** The IP address that the client has asked; undefined if the system does not tell. */
  serverIp(datagram: Datagram): string | undefined
}

/** The socket that clients send to. */
export interface PortSocket {
  readonly address: SocketAddress
  readonly fd: number | undefined
  /** Stops receiving; replies can still be sent. @returns false if this is impossible */
  pause(): boolean
  /** May be called again. */
  close(): void
}

export interface PortSocketEvents<Datagram> {
  /**
   * @param key identifies the client
   * @param bytes size of the datagram, or of several in one
   * @param count of datagrams
   */
  received(key: string, datagram: Datagram, bytes: number, count: number): void
  listenerBroke(err: Error): void
  /** An error in this program. The socket continues. */
  listenerFaulted(err: unknown): void
}

/** The datagrams of one client to the backend, and the replies. */
export interface Flow<Datagram> {
  send(datagram: Datagram): void
  /** May be called again. */
  close(): void
}

export interface FlowEvents {
  /** Whether a reply with this many bytes may be sent. If not, it has to be dropped. */
  mayReply(bytes: number): boolean
  /** The backend has replied with this many bytes. */
  replied(bytes: number): void
  /** Datagrams, or replies, were dropped because too much waits to be sent, or `mayReply` was false. */
  dropped(datagrams: number): void
  /** The network has reported an error of an earlier datagram. The flow goes on. */
  networkFailed(err: Error): void
  /** The flow's socket has an error. Not called before openFlow returns, nor after `close`. */
  broke(err: Error): void
}

/**
 * Publishes a UDP port. Rejects with ListenError.
 *
 *     client A ──▶ ┌──────────┐ ──▶ A's own socket ──▶ backend    one flow for each client address: the backend can
 *     client B ──▶ │ one port │ ──▶ B's own socket ──▶            tell clients apart, and replies find their way
 *              ◀── └──────────┘ ◀──
 */
export async function listenForDatagrams<Datagram>(
  transport: DatagramTransport<Datagram>,
  port: PublishedPort,
  options: ProxyOptions,
  context: ProxyContext,
): Promise<Proxy> {
  const proxy = new DatagramProxy(transport, port, options, context)
  await proxy.open()
  return proxy
}

class DatagramProxy<Datagram> implements Proxy, PortSocketEvents<Datagram>, FlowOwner {
  readonly #counters = zeroCounters()
  readonly #flows = new FlowTable<Flow<Datagram>>()
  readonly #failures = new DialFailures()
  readonly #backends: BackendTurns
  readonly #closed = deferred()
  readonly #durations = new Durations()
  /** The addresses of clients whose end the observer wants to know. */
  readonly #tracked = new Map<FlowEntry<Flow<Datagram>>, string>()
  #idleMs!: number
  readonly #admission: Admission<FlowEntry<Flow<Datagram>>>
  /** Undefined if the bandwidth has no limit. */
  #limits: RelayLimits | undefined
  #socket!: PortSocket
  #unregister!: () => void
  #sweep: NodeJS.Timeout | undefined
  #drainTimer: NodeJS.Timeout | undefined
  #isDraining = false
  #isClosed = false

  constructor(
    private readonly transport: DatagramTransport<Datagram>,
    private readonly port: PublishedPort,
    private readonly options: ProxyOptions,
    private readonly context: ProxyContext,
  ) {
    this.#backends = new BackendTurns(options.backends?.addresses ?? [port.container])
    const portOptions = options.portOptions ?? DEFAULT_PORT_OPTIONS
    this.#admission = new Admission(portOptions)
    this.#follow(portOptions)
  }

  /** Rejects with ListenError. */
  async open(): Promise<void> {
    this.#socket = await this.transport.openSocket(this.port, this)
    refuseLoop(this.port, this.#socket)
    this.#unregister = this.context.descriptors.registerFlows(this)
    this.#startSweep()
  }

  get address(): SocketAddress {
    return this.#socket.address
  }

  get listenFd(): number | undefined {
    return this.#socket.fd
  }

  get counters(): Readonly<Counters> {
    return this.#counters
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

  /** Without an address, datagrams are dropped, whatever `holdMs` is: clients of UDP send again. */
  changeBackends({ addresses }: Backends): void {
    this.#backends.replace(addresses)
    // A flow's socket is connected: each client gets a new one with its next datagram.
    const ended = [...this.#flows].filter(({ backend }) => !this.#backends.has(backend))
    for (const flow of ended) this.#endFlow(flow, 'backend-changed')
  }

  changeOptions(options: PortOptions): void {
    this.#admission.follow(options)
    this.#follow(options)
    if (this.#isClosed) return
    this.#startSweep()
    while (this.#isFull(this.#flows.size - 1)) this.evictOldestFlow()
    for (let network; (network = this.#admission.crowdedNetwork());) {
      this.#endFlow(leastRecentlyUsed(network), 'evicted')
    }
  }

  stop({ drainMs = 0 }: StopOptions = {}): void {
    clearTimeout(this.#drainTimer)
    if (drainMs > 0 && this.#counters.active > 0 && this.#socket.pause()) {
      this.#isDraining = true
      if (drainMs < Infinity) this.#drainTimer = setTimeout(() => this.stop(), drainMs)
      return
    }
    this.#close()
  }

  received(key: string, datagram: Datagram, bytes: number, count: number): void {
    const known = this.#flows.get(key)
    const client = known ? undefined : this.#admit(datagram)
    if (!known && !client) return
    if (this.#limits && !this.#limits.in.admits(bytes)) {
      this.#counters.dropped += count
      return
    }
    this.#counters.bytesIn += bytes
    const entry = known ?? (client && this.#openFlowIfPossible(key, datagram, client))
    if (!entry) return
    entry.bytesIn += bytes
    this.#flows.touch(entry, performance.now())
    entry.flow.send(datagram)
  }

  get flowCount(): number {
    return this.#flows.size
  }

  evictOldestFlow(): void {
    if (this.#flows.oldest) this.#endFlow(this.#flows.oldest, 'evicted')
  }

  listenerBroke(reason: Error): void {
    this.#close(reason)
  }

  listenerFaulted(err: unknown): void {
    this.options.observer.faulted(err)
  }

  /**
   * The address of a new client; undefined if its datagram is dropped. A datagram that claims to come from this port itself is dropped, too: the
   * reply would come back as a request, without end. Only a forger sends it, see CVE-2024-2169.
   */
  #admit(first: Datagram): SocketAddress | undefined {
    const client = this.transport.clientAddress(first)
    // A reply to port 0 can't be sent.
    if (client.port === 0 || receives(this.address, client)) return undefined
    if (!this.#admission.allows(client.ip)) {
      this.#counters.deniedClients++
      return undefined
    }
    if (this.#admission.waitMs > 0) {
      this.#counters.excessClients++
      return undefined
    }
    return client
  }

  /** @returns undefined while there is no backend: the datagram is dropped */
  #openFlowIfPossible(
    key: string,
    first: Datagram,
    client: SocketAddress,
  ): FlowEntry<Flow<Datagram>> | undefined {
    const backend = this.#backends.next()
    // The log has warned of an unreachable one when the port was published.
    if (backend?.isReachable) return this.#openFlow(key, first, client, backend)
    this.#counters.failedDials++
    return undefined
  }

  #openFlow(
    key: string,
    first: Datagram,
    client: SocketAddress,
    backend: Backend,
  ): FlowEntry<Flow<Datagram>> {
    const { observer } = this.options
    this.#makeRoom(client.ip)
    const header = this.#headerOf(client, first)
    const flow = this.#openTransportFlow(first, backend, header, {
      mayReply: (bytes) => this.#limits?.out.admits(bytes) ?? true,
      replied: (bytes) => {
        this.#counters.bytesOut += bytes
        entry.bytesOut += bytes
        this.#flows.touch(entry, performance.now())
      },
      dropped: (datagrams) => {
        this.#counters.dropped += datagrams
      },
      networkFailed: (err) => this.#dialFailed(entry, err),
      broke: (err) => {
        this.#endFlow(entry, 'dial-failed')
        this.#dialFailed(entry, err)
      },
    })
    const entry: FlowEntry<Flow<Datagram>> = {
      ...{ key, flow, backend, bytesIn: 0, bytesOut: 0 },
      ...{ openedAt: Math.floor(performance.now()), usedAt: 0 },
      ...{ older: undefined, newer: undefined },
    }
    this.#flows.add(entry)
    this.#admission.count()
    this.#admission.add(client.ip, entry)
    this.#counters.accepted++
    this.#counters.active++
    observer.accepted()
    if (observer.wantsRelay()) this.#track(entry, client, backend)
    return entry
  }

  #track(entry: FlowEntry<Flow<Datagram>>, { ip, port }: SocketAddress, backend: Backend): void {
    const client = joinHostPort(ip, port)
    this.#tracked.set(entry, client)
    this.options.observer.relayOpened({
      ...{ client, backend: joinHostPort(backend.address.ip, backend.address.port) },
      active: this.#counters.active,
    })
  }

  /** For the backend, if it is told the client's address. */
  #headerOf(client: SocketAddress, first: Datagram): Buffer {
    if (this.options.portOptions?.sendProxy !== 'v2') return NO_HEADER
    const { ip, port } = this.address
    return datagramHeader({ client, server: { ip: this.transport.serverIp(first) ?? ip, port } })
  }

  #openTransportFlow(
    first: Datagram,
    backend: Backend,
    header: Buffer,
    events: FlowEvents,
  ): Flow<Datagram> {
    try {
      return this.transport.openFlow(first, backend, events, header)
    } catch (err) {
      this.context.descriptors.releaseFlow()
      throw err
    }
  }

  /** Ends flows to make room for a new one. @param ip of its client */
  #makeRoom(ip: string): void {
    const { descriptors } = this.context
    if (descriptors.flowsAreShort && descriptors.shouldReportShortage()) {
      this.options.observer.shortage({ effect: 'flows-evicted', flows: this.#flows.size })
    }
    for (let network; (network = this.#admission.fullNetwork(ip));) {
      this.#endFlow(leastRecentlyUsed(network), 'evicted')
    }
    while (this.#isFull(this.#flows.size)) this.evictOldestFlow()
    descriptors.acquireFlow(this)
  }

  #dialFailed(entry: FlowEntry<Flow<Datagram>>, err: Error): void {
    this.#counters.failedDials++
    this.#failures.note(err)
    this.options.observer.dialFailed(entry.backend.address, err)
  }

  #endFlow(entry: FlowEntry<Flow<Datagram>>, ending: RelayEnding): void {
    if (!this.#flows.delete(entry)) return
    entry.flow.close()
    this.#admission.left(entry)
    const durationMs = Math.floor(performance.now()) - entry.openedAt
    this.#durations.note(durationMs)
    const client = this.#tracked.get(entry)
    if (client !== undefined) {
      this.#tracked.delete(entry)
      const { bytesIn, bytesOut } = entry
      const { ip, port } = entry.backend.address
      this.options.observer.relayClosed({
        ...{ client, backend: joinHostPort(ip, port) },
        ...{ bytesIn, bytesOut, durationMs, ending, active: this.#counters.active },
      })
    }
    this.#counters.active--
    this.context.descriptors.releaseFlow()
    if (this.#isDraining && this.#counters.active === 0) this.#close()
  }

  #follow(options: PortOptions): void {
    const { idleTimeoutMs, maxBandwidthIn, maxBandwidthOut } = options
    this.#idleMs = this.options.udpIdleMs ?? Math.min(idleTimeoutMs ?? IDLE_MS, LONGEST_IDLE_MS)
    const isLimited = Math.min(maxBandwidthIn, maxBandwidthOut) < Infinity
    // No flow waits for bandwidth.
    this.#limits = isLimited ? (this.#limits ?? new RelayLimits(() => undefined)) : undefined
    this.#limits?.follow(options)
  }

  /** Whether there are as many flows as allowed. */
  #isFull(flows: number): boolean {
    return flows >= MAX_FLOWS || this.#admission.isFull(flows)
  }

  #startSweep(): void {
    clearInterval(this.#sweep)
    this.#sweep = setInterval(() => this.#endIdleFlows(), this.#idleMs / 4).unref()
  }

  #endIdleFlows(): void {
    const limit = performance.now() - this.#idleMs
    const flows = this.#flows
    while (flows.oldest && flows.oldest.usedAt <= limit) this.#endFlow(flows.oldest, 'idle')
  }

  #close(reason?: Error): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.#unregister()
    clearInterval(this.#sweep)
    clearTimeout(this.#drainTimer)
    this.#socket.close()
    while (this.#flows.oldest) this.#endFlow(this.#flows.oldest, 'stopped')
    this.options.observer.stopped()
    if (reason) this.#closed.reject(reason)
    else this.#closed.resolve()
  }
}

/** @param flows at least one */
function leastRecentlyUsed<Flow>(flows: ReadonlySet<FlowEntry<Flow>>): FlowEntry<Flow> {
  let oldest: FlowEntry<Flow> | undefined
  for (const flow of flows) if (!oldest || flow.usedAt < oldest.usedAt) oldest = flow
  return oldest as FlowEntry<Flow>
}
