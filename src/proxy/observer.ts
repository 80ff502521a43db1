import type { SocketAddress } from '../linux/sockets/socket-address.js'

/** How a relay or a UDP flow ended. */
export const RELAY_ENDINGS = [
  /** Both directions ended well. */
  'finished',
  'client-reset',
  'backend-reset',
  'dial-failed',
  /** A balancer sent no valid header in time. */
  'no-header',
  /** A client that a balancer announced may not connect. */
  'refused',
  /** Nothing came from either side for the idle time. */
  'idle',
  /** UDP: the port has another backend. The client gets a new flow with its next datagram. */
  'backend-changed',
  /** UDP: the oldest flow made room for a new client. */
  'evicted',
  /** The proxy was stopped. */
  'stopped',
  /** An error in this program ended it. */
  'fault',
] as const
export type RelayEnding = (typeof RELAY_ENDINGS)[number]

/** A relay or a UDP flow that has begun. */
export type OpenedRelay = Pick<ClosedRelay, 'client' | 'backend' | 'active'>

/** A relay or a UDP flow that has ended. */
export interface ClosedRelay {
  /** The client's address as `192.0.2.7:4711`. */
  readonly client: string
  /** The backend's address; empty if none was dialled. */
  readonly backend: string
  /** Bytes from the client. */
  readonly bytesIn: number
  /** Bytes to the client. */
  readonly bytesOut: number
  /** Time from the dial until the backend accepted, milliseconds; left out if it did not, and for UDP. */
  readonly dialMs?: number
  /** From the accept to the close, milliseconds. */
  readonly durationMs: number
  /** Connections, or flows, of the port that are open, this one included. */
  readonly active: number
  readonly ending: RelayEnding
}

/** The behaviour of a proxy while the process has no descriptors for more clients. */
export type Shortage =
  /** New connections wait in the backlog. `capacity`: connections that the process can have. */
  | { readonly effect: 'connections-wait'; readonly capacity: number }
  /** Accepting can't be paused, so the system may drop new connections. */
  | { readonly effect: 'connections-dropped'; readonly capacity: number }
  /** Each new UDP client ends the flow that was idle the longest. `flows`: flows of this port. */
  | { readonly effect: 'flows-evicted'; readonly flows: number }

/** Receives what happens on one published port. No method may throw or wait. */
export interface ProxyObserver {
  /** Whether a relay that is about to begin is to be reported. If not, its client's address is not read. */
  wantsRelay(): boolean
  /** A connection or a UDP flow was accepted. */
  accepted(): void
  /** The backend could not be reached, or the network has reported that an earlier datagram did not reach it. */
  dialFailed(backend: SocketAddress, err: Error): void
  /** No local port is free for a dial: the client waits. */
  dialWaits(backend: SocketAddress): void
  /** A relay has begun that is to be reported. */
  relayOpened(relay: OpenedRelay): void
  /** The same relay has ended. */
  relayClosed(relay: ClosedRelay): void
  shortage(shortage: Shortage): void
  /** An error in this program: it ended one connection, or lost one datagram. */
  faulted(err: unknown): void
  /** Something works less well than it could on this system. @param reason one sentence */
  degraded(reason: string): void
  /** The port is closed. Its relays may still report their ends. May be called again. */
  stopped(): void
}
