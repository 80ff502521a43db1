import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Backends } from './backends.js'
import type { DescriptorBudget } from './descriptor-budget.js'
import type { DialFailureReport } from './dial-failures.js'
import type { DurationReport } from './durations.js'
import type { ProxyObserver } from './observer.js'
import type { PortOptions } from './port-options.js'
import type { PublishedPort } from './published-port.js'

/** A way to move the data of published ports. All engines pass the same test suites. */
export interface Engine {
  readonly name: 'streams' | 'native'
  /**
   * Publishes a port. Resolves once clients can connect to it, or send datagrams.
   * Rejects with ListenError.
   */
  listen(port: PublishedPort, options: ProxyOptions, context: ProxyContext): Promise<Proxy>
}

/** Options of one port. */
export interface ProxyOptions {
  readonly observer: ProxyObserver
  /** How long a UDP flow may be idle, milliseconds; by default 90,000, as in the original. */
  readonly udpIdleMs?: number
  /** What the proxy forwards to from the start; by default the container of the port. */
  readonly backends?: Backends
  /** By default DEFAULT_PORT_OPTIONS. */
  readonly portOptions?: PortOptions
}

/** Parts that all ports of a process share. */
export interface ProxyContext {
  readonly descriptors: DescriptorBudget
}

export interface StopOptions {
  /**
   * Time that open connections have to end by themselves, milliseconds; Infinity for no limit. By default 0.
   * A process of its own has so much longer to end before it is killed.
   */
  readonly drainMs?: number
}

/** One published port, listening. */
export interface Proxy {
  /** Where the proxy listens. Tells the port if port 0 was requested. */
  readonly address: SocketAddress
  /** The listening socket, for another process to continue with; undefined if its descriptor is not known. */
  readonly listenFd: number | undefined
  /** The current counts. */
  readonly counters: Readonly<Counters>
  /** Failed dials. */
  readonly dialFailures: DialFailureReport
  /** The connections, or UDP flows, that have ended. */
  readonly durations: DurationReport
  /** Forwards new connections, and each further datagram, to other addresses. Open connections stay with the old ones. */
  changeBackends(backends: Backends): void
  /** Follows other options from now on, also with open connections, but `sendProxy` stays as it is. */
  changeOptions(options: PortOptions): void
  /** Stops listening, and ends all relays after `drainMs`. May be called again, for example with a shorter time. */
  stop(options?: StopOptions): void
  /** Resolves when the proxy has stopped and its relays have ended. Rejects with the reason if the listener breaks. */
  readonly closed: Promise<void>
}

export interface Counters {
  /** Connections, or UDP flows, accepted so far. */
  accepted: number
  /** Connections, or UDP flows, that are open. */
  active: number
  /** Dials that failed. */
  failedDials: number
  /** Clients that were disconnected because their address is not allowed. */
  deniedClients: number
  /** Clients that were disconnected because the port had as many connections as it may have. */
  excessClients: number
  /** Bytes from clients. */
  bytesIn: number
  /** Bytes to clients. */
  bytesOut: number
  /** UDP: datagrams of either direction that were dropped because too much waited to be sent, or the bandwidth was in use. */
  dropped: number
  /** TCP and SCTP: pauses of reading from a client, because the container took no more data. */
  pausedIn: number
  /** TCP and SCTP: pauses of reading from the container, because the client took no more data. */
  pausedOut: number
}

export function zeroCounters(): Counters {
  return {
    accepted: 0,
    active: 0,
    failedDials: 0,
    deniedClients: 0,
    excessClients: 0,
    bytesIn: 0,
    bytesOut: 0,
    dropped: 0,
    pausedIn: 0,
    pausedOut: 0,
  }
}

/** A port that can't be published. */
export class ListenError extends Error {
  override readonly name = 'ListenError'

  /**
   * @param code the code of the failed system call, as `EADDRINUSE`
   * @param message the text that dockerd shows
   * @param hint what the user can do, if the message does not say it
   */
  constructor(
    readonly code: string,
    message: string,
    readonly hint = '',
  ) {
    super(message)
  }
}
