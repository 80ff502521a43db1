import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Backend } from './backend.js'
import type { RelayEnding } from './observer.js'
import type { ParsedHeader } from './parse-proxy-header.js'
import type { PortOptions } from './port-options.js'
import type { ClientConnection } from './proxy-header.js'
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
   * @param announced the connection that a balancer has announced, for the header that the backend gets
   */
  openRelay(
    client: Client,
    backend: Backend,
    events: RelayEvents<Client>,
    announced: ClientConnection | undefined,
  ): Relay
  /**
   * Reads a header of the PROXY protocol from a client without a relay. The relay gets the data behind the header.
   * @param done called once, and not before this returns: undefined if the header is invalid, or the client has gone
   * @returns a function that stops reading; `done` is not called then
   */
  readHeader(client: Client, done: (header: ParsedHeader | undefined) => void): () => void
  /** Whether a client without a relay is still there, as far as that is known. */
  isOpen(client: Client): boolean
  /** Closes a client that has no relay. */
  discard(client: Client): void
  /** The client's address. Its IP is `?` if the client has gone. */
  clientAddress(client: Client): SocketAddress
  /** Follows other options from now on, also with open relays. `sendProxy` stays as it was. */
  changeOptions(options: PortOptions): void
  /** How often reading has paused, because the other side took no more data. */
  readonly pauses: Pauses
}

export interface Pauses {
  /** Of reading from clients. */
  readonly pausedIn: number
  /** Of reading from the backend. */
  readonly pausedOut: number
}

export const NO_PAUSES: Pauses = { pausedIn: 0, pausedOut: 0 }

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
  /** Time from the first dial until the backend accepted, whole milliseconds; undefined until then. */
  readonly dialMs: number | undefined
  /** Bytes from the client so far. */
  readonly bytesIn: number
  /** Bytes to the client so far. */
  readonly bytesOut: number
  /** Whether one side has ended its direction, and the other has not. */
  readonly isHalfClosed: boolean
  /** Whether data waits for the bandwidth of the port. */
  readonly isThrottled: boolean
  /** Closes both sockets at once. */
  destroy(): void
  /** Resets both sides: a connection that was cut off must not look complete. `relayClosed` has this ending. */
  abort(ending: 'idle'): void
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
