import { connect, type Socket } from 'node:net'
import { isReset } from '../../linux/errno.js'
import type { Backend } from '../backend.js'
import { KEEP_ALIVE_S, type Relay, type RelayEvents } from '../connection-proxy.js'
import type { RelayEnding } from '../observer.js'
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
export function openRelay(client: Socket, backend: Backend, events: RelayEvents): Relay {
  return new TcpRelay(client, backend, events)
}

class TcpRelay implements Relay {
  readonly #backend: Socket
  #isConnected = false
  #openSockets = 2
  #ending: RelayEnding = 'finished'

  constructor(
    private readonly client: Socket,
    private readonly target: Backend,
    private readonly events: RelayEvents,
  ) {
    const { dialAddress } = target
    const backend = connect({
      ...SOCKET_OPTIONS,
      host: dialAddress?.ip ?? '127.0.0.1',
      // A port that does not exist is refused with each connection, and the proxy goes on.
      port: dialAddress?.port ?? 0,
    })
    this.#backend = backend
    client.on('close', this.#socketClosed)
    backend.on('close', this.#socketClosed)
    client.on('error', () => {
      this.#ending = 'client-reset'
      if (backend.connecting) backend.destroy()
      else reset(backend)
    })
    backend.on('error', (err) => this.#backendFailed(err))
    backend.once('connect', () => this.#join())
  }

  get bytesIn(): number {
    return this.client.bytesRead
  }

  get bytesOut(): number {
    return this.#backend.bytesRead
  }

  destroy(): void {
    if (this.#openSockets > 0) this.#ending = 'stopped'
    this.client.destroy()
    this.#backend.destroy()
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
    from.on('end', () => {
      if (!wasReset(from)) return void to.end()
      this.#ending = ending
      from.destroy()
      reset(to)
    })
    from.pipe(to, { end: false })
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
