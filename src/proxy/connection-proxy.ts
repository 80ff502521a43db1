import { deferred } from '../deferred.js'
import { errnoReason } from '../linux/errno.js'
import { keepYoungGenerationSmall } from '../heap.js'
import type { Intake } from './descriptor-budget.js'
import { noCounters, type Counters, type Proxy, type ProxyContext } from './engine.js'
import { isPort, joinHostPort, type PublishedPort } from './published-port.js'

/** Go's default, seconds: idle connections whose other end has vanished are found out. */
export const KEEP_ALIVE_S = 15

/**
 * What an engine brings to a proxy of connections: how they come in, and how one is joined to the backend.
 * `Client` is a connection that was accepted, in the engine's own form.
 */
export interface Transport<Client> {
  /** Opens the port's listening socket, or takes the one handed over. Rejects with ListenError. */
  openListener(port: PublishedPort, events: ListenerEvents<Client>): Promise<Listener>
  /**
   * Joins a client to the container's side of the port.
   *
   * @param client accepted, and not read from yet: what it sends waits in the kernel until the backend has answered
   * @param events of which none is called before this has returned
   */
  openRelay(client: Client, port: PublishedPort, events: RelayEvents): Relay
  /** Ends a client that there is no relay for. */
  drop(client: Client): void
  /** The client's address, as `192.0.2.7:4711`. */
  addressOf(client: Client): string
}

/**
 * A listening socket that can stop accepting for a while without closing, so that those who connect
 * meanwhile wait in the kernel's backlog.
 */
export interface Listener {
  readonly address: Proxy['address']
  readonly fd: number | undefined
  /** Stops accepting; false where this can't be done, and accepting goes on. */
  pause(): boolean
  /** Goes on after `pause`. */
  resume(): void
  /** May be called again. */
  close(): void
}

export interface ListenerEvents<Client> {
  connection(client: Client): void
  /** It stopped listening, though nobody closed it. */
  broken(err: Error): void
  /** The engine is at fault; the listener lives on. */
  failed(err: unknown): void
  /** The system has no descriptor, or no memory, for one more; the listener asks again before long. */
  exhausted(): void
}

/** A client and the backend, joined. */
export interface Relay {
  /** Bytes from the client, and to it, so far. */
  readonly bytesIn: number
  readonly bytesOut: number
  /** Ends it at once, whatever is under way. */
  destroy(): void
}

export interface RelayEvents {
  /** The backend can't be reached. */
  dialFailed(err: Error): void
  /** The engine is at fault, and has ended this relay. */
  failed(err: unknown): void
  /** The relay goes on as another. */
  moved(relay: Relay, as: Relay): void
  /** Called once for each relay, when both its sockets are closed. */
  ended(relay: Relay): void
}

/** From so many open connections on, more of them are likely. */
const MANY_AT_ONCE = 1_000

/** Publishes a port of connections, TCP's or SCTP's. Rejects with ListenError. */
export async function listenForConnections<Client>(
  transport: Transport<Client>,
  port: PublishedPort,
  context: ProxyContext,
): Promise<Proxy> {
  const proxy = new ConnectionProxy(transport, port, context)
  await proxy.open()
  return proxy
}

/** One object, and hardly a closure, for each of what may be thousands of ports. */
class ConnectionProxy<Client> implements Proxy, ListenerEvents<Client>, RelayEvents, Intake {
  /** Of bytes those of relays that have ended. */
  readonly #counters = noCounters()
  readonly #relays = new Map<Relay, ToldClient | undefined>()
  readonly #closed = deferred()
  #listener!: Listener
  #ungovern!: () => void
  #isDraining = false

  constructor(
    private readonly transport: Transport<Client>,
    private readonly port: PublishedPort,
    private readonly context: ProxyContext,
  ) {}

  /** Rejects with ListenError. */
  async open(): Promise<void> {
    this.#listener = await this.transport.openListener(this.port, this)
    this.#ungovern = this.context.descriptors.govern(this)
  }

  get address(): Proxy['address'] {
    return this.#listener.address
  }

  get listenFd(): number | undefined {
    return this.#listener.fd
  }

  get counters(): Readonly<Counters> {
    const now: Counters = { ...this.#counters }
    for (const { bytesIn, bytesOut } of this.#relays.keys()) {
      now.bytesIn += bytesIn
      now.bytesOut += bytesOut
    }
    return now
  }

  get closed(): Promise<void> {
    return this.#closed.promise
  }

  drain(): void {
    this.#isDraining = true
    this.#stopListening()
    if (this.#counters.active === 0) this.#closed.resolve()
  }

  close(): void {
    this.#end()
    this.#closed.resolve()
  }

  broken(reason: Error): void {
    this.#end()
    this.#closed.reject(reason)
  }

  connection(client: Client): void {
    const { log, descriptors } = this.context
    const counters = this.#counters
    counters.accepted++
    counters.active++
    if (counters.active === MANY_AT_ONCE) keepYoungGenerationSmall()
    descriptors.take()
    const told = log.debugEnabled
      ? { address: this.transport.addressOf(client), since: Date.now() }
      : undefined
    try {
      this.#relays.set(this.transport.openRelay(client, this.port, this), told)
    } catch (err) {
      counters.active--
      descriptors.give()
      this.transport.drop(client)
      throw err
    }
  }

  exhausted(): void {
    this.#tellShortage('new connections wait')
  }

  pause(): void {
    const isPaused = this.#listener.pause()
    this.#tellShortage(isPaused ? 'new connections wait' : 'new connections may be dropped')
  }

  resume(): void {
    this.#listener.resume()
  }

  dialFailed(err: Error): void {
    this.#counters.failedDials++
    const { protocol, containerIp, containerPort } = this.port
    const address = joinHostPort(containerIp, containerPort)
    const reason = isPort(containerPort) ? errnoReason(err) : 'invalid port'
    this.context.log.error(
      `Can't forward traffic to backend ${protocol}/${address}: dial ${protocol} ${address}: connect: ${reason}`,
    )
  }

  failed(err: unknown): void {
    this.context.log.error(`A connection was ended by a fault of the proxy: ${String(err)}`)
  }

  moved(relay: Relay, as: Relay): void {
    this.#relays.set(as, this.#relays.get(relay))
    this.#relays.delete(relay)
  }

  ended(relay: Relay): void {
    const client = this.#relays.get(relay)
    this.#relays.delete(relay)
    const { bytesIn, bytesOut } = relay
    const counters = this.#counters
    counters.active--
    counters.bytesIn += bytesIn
    counters.bytesOut += bytesOut
    if (client) {
      this.context.log.debug('Connection closed', {
        client: client.address,
        bytesIn,
        bytesOut,
        durationMs: Date.now() - client.since,
      })
    }
    this.context.descriptors.give()
    if (this.#isDraining && counters.active === 0) this.#closed.resolve()
  }

  #end(): void {
    this.#stopListening()
    for (const relay of this.#relays.keys()) relay.destroy()
  }

  #stopListening(): void {
    this.#ungovern()
    this.#listener.close()
  }

  #tellShortage(what: string): void {
    const { log, descriptors } = this.context
    if (!descriptors.isShortageWorthAWord()) return
    log.warn(`Out of file descriptors: ${what} until others end`, {
      connections: descriptors.capacity,
    })
  }
}

/** A client whose end is to be told. */
interface ToldClient {
  readonly address: string
  /** Milliseconds since the epoch. */
  readonly since: number
}
