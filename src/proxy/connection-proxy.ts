import { deferred } from '../deferred.js'
import { errnoReason } from '../linux/errno.js'
import { keepYoungGenerationSmall } from '../young-generation.js'
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
  readonly connection: (client: Client) => void
  /** It stopped listening, though nobody closed it. */
  readonly broken: (err: Error) => void
  /** The engine is at fault; the listener lives on. */
  readonly failed: (err: unknown) => void
  /** The system has no descriptor, or no memory, for one more; the listener asks again before long. */
  readonly exhausted: () => void
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
  readonly dialFailed: (err: Error) => void
  /** The engine is at fault, and has ended this relay. */
  readonly failed: (err: unknown) => void
  /** The relay goes on as another. */
  readonly moved: (relay: Relay, as: Relay) => void
  /** Called once for each relay, when both its sockets are closed. */
  readonly ended: (relay: Relay) => void
}

/** From so many open connections on, more of them are likely. */
const MANY_AT_ONCE = 1_000

/** Publishes a port of connections, TCP's or SCTP's. Rejects with ListenError. */
export async function listenForConnections<Client>(
  transport: Transport<Client>,
  port: PublishedPort,
  { log, descriptors }: ProxyContext,
): Promise<Proxy> {
  /** Bytes are those of relays that have ended. */
  const counters = noCounters()
  let isDraining = false
  const relays = new Map<Relay, { readonly client: string; readonly started: number } | undefined>()
  const { promise: closed, resolve, reject } = deferred()

  const tellFault = (err: unknown): void =>
    log.error(`A connection was ended by a fault of the proxy: ${String(err)}`)

  const relayEvents: RelayEvents = {
    dialFailed(err) {
      counters.failedDials++
      const address = joinHostPort(port.containerIp, port.containerPort)
      const reason = isPort(port.containerPort) ? errnoReason(err) : 'invalid port'
      log.error(
        `Can't forward traffic to backend ${port.protocol}/${address}: dial ${port.protocol} ${address}: connect: ${reason}`,
      )
    },
    failed: tellFault,
    moved(relay, as) {
      relays.set(as, relays.get(relay))
      relays.delete(relay)
    },
    ended(relay) {
      const told = relays.get(relay)
      relays.delete(relay)
      counters.active--
      counters.bytesIn += relay.bytesIn
      counters.bytesOut += relay.bytesOut
      if (told) {
        log.debug('Connection closed', {
          client: told.client,
          bytesIn: relay.bytesIn,
          bytesOut: relay.bytesOut,
          durationMs: Date.now() - told.started,
        })
      }
      descriptors.give()
      if (isDraining && counters.active === 0) resolve()
    },
  }

  const connection = (client: Client): void => {
    counters.accepted++
    counters.active++
    if (counters.active === MANY_AT_ONCE) keepYoungGenerationSmall()
    descriptors.take()
    const told = log.debugEnabled
      ? { client: transport.addressOf(client), started: Date.now() }
      : undefined
    try {
      relays.set(transport.openRelay(client, port, relayEvents), told)
    } catch (err) {
      counters.active--
      descriptors.give()
      transport.drop(client)
      throw err
    }
  }

  const tellShortage = (what: string): void => {
    if (!descriptors.isShortageWorthAWord()) return
    log.warn(`Out of file descriptors: ${what} until others end`, {
      connections: descriptors.capacity,
    })
  }

  const close = (reason?: Error): void => {
    ungovern()
    listener.close()
    for (const relay of relays.keys()) relay.destroy()
    if (reason) reject(reason)
    else resolve()
  }

  const listener = await transport.openListener(port, {
    connection,
    broken: close,
    failed: tellFault,
    exhausted: () => tellShortage('new connections wait'),
  })
  const ungovern = descriptors.govern({
    pause() {
      const isPaused = listener.pause()
      tellShortage(isPaused ? 'new connections wait' : 'new connections may be dropped')
    },
    resume: () => listener.resume(),
  })
  return {
    address: listener.address,
    get listenFd() {
      return listener.fd
    },
    get counters() {
      const now: Counters = { ...counters }
      for (const { bytesIn, bytesOut } of relays.keys()) {
        now.bytesIn += bytesIn
        now.bytesOut += bytesOut
      }
      return now
    },
    drain() {
      isDraining = true
      ungovern()
      listener.close()
      if (counters.active === 0) resolve()
    },
    close: () => close(),
    closed,
  }
}
