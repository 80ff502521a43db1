import type { Log } from '../log/log.js'
import type { DescriptorBudget } from './descriptor-budget.js'
import type { PublishedPort } from './published-port.js'

/** A way to move the data of published ports. Every engine passes the same behaviour suite. */
export interface Engine {
  readonly name: 'streams' | 'native'
  /**
   * Publishes a port: resolves once connections can be made to it, or datagrams sent.
   * Rejects with ListenError.
   */
  listen(port: PublishedPort, context: ProxyContext): Promise<Proxy>
}

/** What a proxy shares with the others of its process. */
export interface ProxyContext {
  readonly log: Log
  readonly descriptors: DescriptorBudget
  /** How long a UDP flow may be idle, milliseconds; left out, as long as the original's. */
  readonly udpIdleMs?: number
}

/** One published port, listening. */
export interface Proxy {
  /** Where it listens in fact, which tells the port where 0 was asked for. */
  readonly address: { readonly ip: string; readonly port: number }
  /** The socket that it listens on, for another process to go on with; undefined where that is not known. */
  readonly listenFd: number | undefined
  /** As they are now. */
  readonly counters: Readonly<Counters>
  /** Stops listening and lets what is open end by itself, which resolves `closed`. */
  drain(): void
  /** Stops listening and ends all relays at once; may be called again. */
  close(): void
  /** Resolves after `close`, or when all has ended after `drain`; rejects with the reason when the listener breaks by itself. */
  readonly closed: Promise<void>
}

export interface Counters {
  /** Connections, or UDP flows, accepted so far. */
  accepted: number
  /** Those open now. */
  active: number
  /** Those whose backend could not be reached. */
  failedDials: number
  /** Bytes from clients, and to them. */
  bytesIn: number
  bytesOut: number
}

export function noCounters(): Counters {
  return { accepted: 0, active: 0, failedDials: 0, bytesIn: 0, bytesOut: 0 }
}

/** Why a port can't be published. */
export class ListenError extends Error {
  override readonly name = 'ListenError'

  /**
   * @param code the error of the system call, as `EADDRINUSE`
   * @param message the text that dockerd shows
   * @param hint what to do about it, where the text does not say
   */
  constructor(
    readonly code: string,
    message: string,
    readonly hint = '',
  ) {
    super(message)
  }
}
