import type { Socket } from 'node:net'
import { isReset } from '../../linux/errno.js'
import { withoutZone } from '../../linux/sockets/ip-address.js'
import { MAX_REDIALS } from '../backend.js'
import type { Bandwidth } from '../bandwidth.js'
import type { Relay, RelayEvents } from '../transport.js'
import { refusedConnection } from '../listen-error.js'
import { MAX_LOCAL_PORTS } from '../local-ports.js'
import type { RelayEnding } from '../observer.js'
import { proxyHeader, type ClientConnection, type ProxyVersion } from '../proxy-header.js'
import { DIAL_WAIT_MS } from '../waiting-dials.js'
import type { Dialer } from './dialer.js'
import type { RelayLimits } from '../relay-limits.js'
import type { HalfClosedSockets } from './half-closed.js'
import { relayEnded, relayOpened } from './long-turns.js'
import { pump, type Pump } from './pump.js'
import { setUserTimeout } from './user-timeout.js'
import { deliverUnreadData, wasReset } from './unread-data.js'

/**
 * Connects a client to the backend.
 *
 *     client ──pump──▶ backend      end of stream: the other side is shut down for writing
 *            ◀──pump──              reset:         the other side is reset
 *
 * Each pump reads only as fast as the other side accepts data, so a relay holds at most two small buffers.
 *
 * @see Transport.openRelay
 */
export function openRelay(
  client: Socket,
  dialer: Dialer,
  events: RelayEvents<Socket>,
  options: RelayOptions,
): Relay {
  return new TcpRelay(client, dialer, events, options)
}

interface RelayOptions {
  /** The connection that a balancer has announced. */
  readonly announced: ClientConnection | undefined
  /** Bytes of the balancer's header. They do not count as data. */
  readonly headerBytes: number
  readonly halfClosed: HalfClosedSockets
  readonly limits: RelayLimits
  /** The version of the header that backends get. */
  readonly sendProxy: ProxyVersion | undefined
}

class TcpRelay implements Relay {
  readonly #openedAt = performance.now()
  #dialMs: number | undefined
  /** For the backend, before everything else; undefined also if the client has gone. */
  readonly #header: Buffer | undefined
  #backend: Socket
  #isConnected = false
  /** Whether the client was given back. */
  #isOver = false
  #openSockets = 2
  #ending: RelayEnding = 'finished'
  readonly #pumps: Pump[] = []
  #redials = 0
  /** The local port of the dial; undefined if the kernel chooses it. */
  #localPort: number | undefined
  /** Local ports that were taken. */
  #takenPorts = 0
  /** No local port was free, and none is waited for after this time, by performance.now(), milliseconds. */
  #waitsUntil: number | undefined

  constructor(
    private readonly client: Socket,
    private readonly dialer: Dialer,
    private readonly events: RelayEvents<Socket>,
    private readonly options: RelayOptions,
  ) {
    const { sendProxy, announced = connectionOf(client) } = options
    if (sendProxy && announced) this.#header = proxyHeader(sendProxy, announced)
    client.on('close', this.#socketClosed)
    client.on('error', this.#clientFailed)
    this.#backend = this.#dial()
    relayOpened()
  }

  get dialMs(): number | undefined {
    return this.#dialMs
  }

  get isHalfClosed(): boolean {
    return this.client.readableEnded !== this.#backend.readableEnded
  }

  get isThrottled(): boolean {
    return this.#pumps.some((each) => each.isThrottled())
  }

  get bytesIn(): number {
    return this.client.bytesRead - this.options.headerBytes
  }

  get bytesOut(): number {
    return this.#backend.bytesRead
  }

  destroy(): void {
    if (this.#openSockets > 0) this.#ending = 'stopped'
    this.#destroySockets()
  }

  abort(ending: RelayEnding): void {
    if (this.#openSockets > 0) this.#cut(ending)
  }

  /** Resets each side that does not have everything yet: a connection that was cut off must not look complete. */
  #cut(ending: RelayEnding): void {
    this.#ending = ending
    for (const socket of [this.client, this.#backend]) {
      if (socket.writableFinished) socket.destroy()
      else socket.resetAndDestroy()
    }
  }

  cancelDial(): void {
    if (!this.#isConnected && !this.client.destroyed) this.#endDial(undefined)
  }

  #destroySockets(): void {
    this.client.destroy()
    this.#backend.destroy()
  }

  #dial(): Socket {
    this.#localPort = this.#takenPorts < MAX_LOCAL_PORTS ? this.dialer.nextPort() : undefined
    const backend = this.dialer.dial(this.#localPort)
    backend.on('close', this.#socketClosed)
    backend.on(
      'error',
      this.#confined((err: Error) => this.#backendFailed(err)),
    )
    backend.once(
      'connect',
      this.#confined(() => {
        if (isSelfConnected(backend)) this.#leaveSelf(backend)
        else this.#join()
      }),
    )
    return backend
  }

  /** The kernel has connected the socket to itself: nobody listens there, see Go's net package, tcpsock_posix.go. */
  #leaveSelf(selfConnected: Socket): void {
    selfConnected.off('close', this.#socketClosed)
    selfConnected.resetAndDestroy()
    if (this.#redials++ < MAX_REDIALS) {
      this.#backend = this.#dial()
      return
    }
    this.#endDial(refusedConnection())
  }

  #join(): void {
    const { client } = this
    const backend = this.#backend
    this.#isConnected = true
    this.#dialMs = Math.round(performance.now() - this.#openedAt)
    if (this.options.sendProxy) {
      // Data without the address of its client would count as the proxy's own.
      if (!this.#header) return this.#cut('client-reset')
      backend.write(this.#header)
    }
    deliverUnreadData(backend, (data) => client.write(data))
    deliverUnreadData(client, (data) => backend.write(data))
    const { limits } = this.options
    if (limits.userTimeoutMs !== 0) {
      for (const socket of [client, backend]) setUserTimeout(socket, limits.userTimeoutMs)
    }
    this.#forward(client, backend, limits.in, 'client-reset')
    this.#forward(backend, client, limits.out, 'backend-reset')
  }

  /** Passes on the data of one side, and how it ends. */
  #forward(from: Socket, to: Socket, bandwidth: Bandwidth, ending: RelayEnding): void {
    const ended = this.#confined(() => {
      if (!wasReset(from)) {
        this.options.halfClosed.add(from)
        return void to.end()
      }
      this.#ending = ending
      from.destroy()
      reset(to)
    })
    // A client may end behind the header of its balancer.
    if (from.readableEnded) ended()
    else from.on('end', ended)
    this.#pumps.push(pump(from, to, bandwidth))
  }

  readonly #clientFailed = this.#confined(() => {
    this.#ending = 'client-reset'
    if (this.#backend.connecting) this.#backend.destroy()
    else reset(this.#backend)
  })

  #backendFailed(err: Error): void {
    if (this.#isOver) return
    // A reset during the dial: the backend accepted, and reset before Node noticed that it had.
    if (this.#isConnected || isReset(err)) {
      if (this.#ending === 'finished') this.#ending = 'backend-reset'
      return reset(this.client)
    }
    if (this.#localPort !== undefined && this.dialer.isPortTaken(err)) return this.#tryNextPort()
    if (this.dialer.isOutOfPorts(err)) this.#waitForPort(err)
    else this.#endDial(err)
  }

  /** Gives the client back. @param err undefined if the dial was cancelled */
  #endDial(err: Error | undefined): void {
    this.#isOver = true
    this.#openSockets = 0
    this.client.off('close', this.#socketClosed)
    this.client.off('error', this.#clientFailed)
    this.#backend.off('close', this.#socketClosed)
    this.#backend.destroy()
    relayEnded()
    this.events.dialEnded(this, this.client, this.dialer.backend, err)
  }

  #tryNextPort(): void {
    this.#takenPorts++
    // The end of the socket that has failed does not count.
    this.#backend.off('close', this.#socketClosed)
    this.#backend = this.#dial()
  }

  /** @param err fails the dial if no port becomes free in time */
  #waitForPort(err: Error): void {
    if (this.#waitsUntil === undefined) this.events.dialWaits(this.dialer.backend)
    const until = (this.#waitsUntil ??= performance.now() + DIAL_WAIT_MS)
    this.#takenPorts = 0
    this.#backend.off('close', this.#socketClosed)
    this.dialer.waitForPort({
      until,
      dialAgain: this.#confined(() => {
        if (this.#isOver) return
        // The client may have gone meanwhile.
        if (this.client.destroyed) this.#socketClosed()
        else this.#backend = this.#dial()
      }),
      giveUp: this.#confined(() => {
        if (this.#isOver) return
        if (this.client.destroyed) this.#socketClosed()
        else this.#endDial(err)
      }),
    })
  }

  readonly #socketClosed = (): void => {
    if (--this.#openSockets !== 0) return
    relayEnded()
    this.events.relayClosed(this, this.#ending)
  }

  /** A handler whose exceptions end this relay, and not the process. */
  #confined<Args extends unknown[]>(handle: (...args: Args) => void): (...args: Args) => void {
    return (...args) => {
      try {
        handle(...args)
      } catch (err) {
        this.#ending = 'fault'
        this.events.relayFaulted(err)
        this.#destroySockets()
      }
    }
  }
}

/** @returns undefined if the client has gone */
function connectionOf(client: Socket): ClientConnection | undefined {
  const { remoteAddress, remotePort, localAddress, localPort } = client
  if (!remoteAddress || !remotePort || !localAddress || !localPort) return undefined
  return {
    client: { ip: withoutZone(remoteAddress), port: remotePort },
    server: { ip: withoutZone(localAddress), port: localPort },
  }
}

function isSelfConnected({ localAddress, localPort, remoteAddress, remotePort }: Socket): boolean {
  return localPort === remotePort && localAddress === remoteAddress
}

/**
 * Resets a socket once its earlier data is delivered, as it would be without a proxy. A reset drops everything that still waits in this
 * process, and libuv refuses a reset while a shutdown is pending (uv_tcp_close_reset, EINVAL).
 */
function reset(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.writableEnded && !socket.writableFinished) {
    socket.once('finish', () => reset(socket))
  } else if (!socket.writableEnded && socket.writableLength > 0) {
    // The callback runs once everything before it is written.
    socket.write('', () => reset(socket))
  } else {
    socket.resetAndDestroy()
  }
}
