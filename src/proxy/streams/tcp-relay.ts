import { connect, type Socket } from 'node:net'
import { isReset } from '../../linux/errno.js'
import { MAX_REDIALS, type Backend } from '../backend.js'
import { KEEP_ALIVE_S, type Relay, type RelayEvents } from '../connection-proxy.js'
import { refusedConnection } from '../listen-error.js'
import type { RelayEnding } from '../observer.js'
import type { HalfClosedSockets } from './half-closed.js'
import { deliverUnreadData, wasReset } from './unread-data.js'

/** Options of both sockets of a relay. */
export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_S * 1000,
} as const

/**
 * Connects a client to the backend.
 *
 *     client ──pipe──▶ backend      end of stream: the other side is shut down for writing
 *            ◀──pipe──              reset:         the other side is reset
 *
 * Each pipe reads only as fast as the other side accepts data, so a relay holds at most two small buffers.
 *
 * @see Transport.openRelay
 */
export function openRelay(
  client: Socket,
  backend: Backend,
  events: RelayEvents,
  halfClosed: HalfClosedSockets,
): Relay {
  return new TcpRelay(client, backend, events, halfClosed)
}

class TcpRelay implements Relay {
  #backend: Socket
  #isConnected = false
  #openSockets = 2
  #ending: RelayEnding = 'finished'

  constructor(
    private readonly client: Socket,
    private readonly target: Backend,
    private readonly events: RelayEvents,
    private readonly halfClosed: HalfClosedSockets,
  ) {
    client.on('close', this.#socketClosed)
    client.on(
      'error',
      this.#confined(() => this.#clientFailed()),
    )
    this.#backend = this.#dial(MAX_REDIALS)
  }

  get bytesIn(): number {
    return this.client.bytesRead
  }

  get bytesOut(): number {
    return this.#backend.bytesRead
  }

  destroy(): void {
    if (this.#openSockets > 0) this.#ending = 'stopped'
    this.#destroySockets()
  }

  #destroySockets(): void {
    this.client.destroy()
    this.#backend.destroy()
  }

  #dial(redials: number): Socket {
    const { dialAddress } = this.target
    const backend = connect({
      ...SOCKET_OPTIONS,
      host: dialAddress?.ip ?? '127.0.0.1',
      // A port that does not exist is refused with each connection, and the proxy goes on.
      port: dialAddress?.port ?? 0,
    })
    backend.on('close', this.#socketClosed)
    backend.on(
      'error',
      this.#confined((err: Error) => this.#backendFailed(err)),
    )
    backend.once(
      'connect',
      this.#confined(() => {
        if (isSelfConnected(backend)) this.#redial(backend, redials)
        else this.#join()
      }),
    )
    return backend
  }

  /** The kernel has connected the socket to itself: nobody listens there, see Go's net package, tcpsock_posix.go. */
  #redial(selfConnected: Socket, redials: number): void {
    selfConnected.off('close', this.#socketClosed)
    selfConnected.resetAndDestroy()
    if (redials > 0) {
      this.#backend = this.#dial(redials - 1)
      return
    }
    this.#openSockets--
    this.#backendFailed(refusedConnection())
  }

  #join(): void {
    const { client } = this
    const backend = this.#backend
    this.#isConnected = true
    deliverUnreadData(backend, (data) => client.write(data))
    deliverUnreadData(client, (data) => backend.write(data))
    this.#pipe(client, backend, 'client-reset')
    this.#pipe(backend, client, 'backend-reset')
  }

  /** Pipes one side into the other, and passes on how it ends. */
  #pipe(from: Socket, to: Socket, ending: RelayEnding): void {
    from.on(
      'end',
      this.#confined(() => {
        if (!wasReset(from)) {
          this.halfClosed.add(from)
          return void to.end()
        }
        this.#ending = ending
        from.destroy()
        reset(to)
      }),
    )
    from.pipe(to, { end: false })
  }

  #clientFailed(): void {
    this.#ending = 'client-reset'
    if (this.#backend.connecting) this.#backend.destroy()
    else reset(this.#backend)
  }

  #backendFailed(err: Error): void {
    // A reset during the dial: the backend accepted, and reset before Node noticed that it had.
    if (this.#isConnected || isReset(err)) {
      if (this.#ending === 'finished') this.#ending = 'backend-reset'
      return reset(this.client)
    }
    this.#ending = 'dial-failed'
    this.events.dialFailed(this.target, err)
    this.client.destroy()
  }

  readonly #socketClosed = (): void => {
    if (--this.#openSockets === 0) this.events.relayClosed(this, this.#ending)
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
