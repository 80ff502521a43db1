import { errnoReason } from '../linux/errno.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Log } from '../log/log.js'
import { RepeatedLines } from '../log/repeated-lines.js'
import {
  formatHostPort,
  isPort,
  joinHostPort,
  MAX_PORT,
  type HostPort,
  type Protocol,
} from '../ports/host-port.js'
import type { ClosedRelay, OpenedRelay, ProxyObserver, Shortage } from './observer.js'
import { NO_ACCESS_LOG } from './option-values.js'
import { formatRoute, type PublishedPort } from './published-port.js'

/** Writes what happens on a port to the log. */
export class LogObserver implements ProxyObserver {
  /** A client can cause an error with each connection or datagram. */
  readonly #dialErrors = new RepeatedLines((line, fields) => this.log.error(line, fields))

  constructor(
    private readonly log: Log,
    private readonly port: HostPort,
    /** Connections with lines at the level info; at debug, all have them. May change: connections that are accepted later follow. */
    public accessLog = NO_ACCESS_LOG,
  ) {}

  private get protocol(): Protocol {
    return this.port.protocol
  }

  get #noun(): string {
    return this.protocol === 'udp' ? 'Flow' : 'Connection'
  }

  wantsRelay(): boolean {
    const { share } = this.accessLog
    return (share > 0 && Math.random() < share) || this.log.debugEnabled
  }

  accepted(): void {
    // The log has a line for the end of a connection, with all about it.
  }

  dialFailed(backend: SocketAddress, err: Error): void {
    const { protocol } = this
    const address = joinHostPort(backend.ip, backend.port)
    if (protocol === 'udp') {
      this.#dialErrors.add(`Can't proxy a datagram to udp/${address}: ${errnoReason(err)}`)
      return
    }
    const reason = isPort(backend.port) ? errnoReason(err) : 'invalid port'
    this.#dialErrors.add(
      `Can't forward traffic to backend ${protocol}/${address}: dial ${protocol} ${address}: connect: ${reason}`,
    )
  }

  dialWaits(backend: SocketAddress): void {
    const address = joinHostPort(backend.ip, backend.port)
    this.#dialErrors.add(
      `No local port is free for a connection to backend ${this.protocol}/${address}: the client waits`,
    )
  }

  relayOpened(relay: OpenedRelay): void {
    if (!this.accessLog.hasStarts) return
    this.log.info(`${this.#noun} opened`, { port: formatHostPort(this.port), ...relay })
  }

  relayClosed(relay: ClosedRelay): void {
    const what = `${this.#noun} closed`
    if (this.accessLog.share > 0) this.log.info(what, { port: formatHostPort(this.port), ...relay })
    else this.log.debug(what, { ...relay })
  }

  shortage(shortage: Shortage): void {
    if (shortage.effect === 'flows-evicted') {
      this.log.warn(
        'Out of file descriptors: each new client ends the flow that was idle longest',
        {
          flows: shortage.flows,
        },
      )
      return
    }
    const effect =
      shortage.effect === 'connections-wait'
        ? 'new connections wait'
        : 'new connections may be dropped'
    this.log.warn(`Out of file descriptors: ${effect} until others end`, {
      connections: shortage.capacity,
    })
  }

  faulted(err: unknown): void {
    this.log.error(
      this.protocol === 'udp'
        ? `An internal error lost a datagram: ${errnoReason(err)}`
        : `An internal error ended a connection: ${errnoReason(err)}`,
    )
  }

  degraded(reason: string): void {
    this.log.warn(reason)
  }

  stopped(): void {
    this.#dialErrors.flush()
  }
}

/**
 * Logs that a port is published. Also warns if its container port does not exist.
 * @param address the actual address
 * @param isReported whether the parent logs it as well
 */
export function logListening(
  log: Log,
  port: PublishedPort,
  address: SocketAddress,
  { isReported = false } = {},
): void {
  const message = `Proxy listening on ${formatRoute(port, address)}`
  if (isReported) log.debug(message)
  else log.info(message)
  const { port: containerPort } = port.container
  if (isPort(containerPort) && containerPort !== 0) return
  log.warn(
    `-container-port ${containerPort} is not between 1 and ${MAX_PORT}: no client will get through`,
  )
}
