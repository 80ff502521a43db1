import { connect, type Socket } from 'node:net'
import { KEEP_ALIVE_S, type Relay, type RelayEvents } from '../connection-proxy.js'
import { isReset } from '../../linux/errno.js'
import { backendAddressOf, isPort, type PublishedPort } from '../published-port.js'
import { saveLastWords, wasReset } from './last-words.js'

/** What both sockets of a relay are set to. */
export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_S * 1000,
} as const

/**
 * Joins a client to the container's side of a published port.
 *
 *     client ──pipe──▶ backend      end of stream: the other side is shut down for writing,
 *            ◀──pipe──              reset:         the other side is reset.
 *
 * Each pipe reads only as fast as the other side takes, so a relay holds two small buffers and no more.
 *
 * @see Transport.openRelay
 */
export function openRelay(client: Socket, port: PublishedPort, events: RelayEvents): Relay {
  const { containerPort } = port
  let isJoined = false
  let open = 2

  const backend = connect({
    ...SOCKET_OPTIONS,
    host: backendAddressOf(port),
    // Whatever the flags said, the proxy lives: a port that can't be is refused connection by connection.
    port: isPort(containerPort) ? containerPort : 0,
  })
  const relay: Relay = {
    get bytesIn() {
      return client.bytesRead
    },
    get bytesOut() {
      return backend.bytesRead
    },
    destroy() {
      client.destroy()
      backend.destroy()
    },
  }

  const closed = (): void => {
    if (--open === 0) events.ended(relay)
  }
  client.on('close', closed)
  backend.on('close', closed)

  client.on('error', () => (backend.connecting ? backend.destroy() : reset(backend)))
  backend.on('error', (err) => {
    // The backend was there, but has reset before Node saw that it was.
    if (isJoined || isReset(err)) return reset(client)
    events.dialFailed(err)
    client.destroy()
  })
  backend.once('connect', () => {
    isJoined = true
    saveLastWords(backend, (data) => client.write(data))
    saveLastWords(client, (data) => backend.write(data))
    join(client, backend)
    join(backend, client)
  })
  return relay
}

/** Pipes one side into the other, and passes on how it ends. */
function join(from: Socket, to: Socket): void {
  from.on('end', () => {
    if (!wasReset(from)) return void to.end()
    from.destroy()
    reset(to)
  })
  from.pipe(to, { end: false })
}

/**
 * Passes a reset on. What came before it is delivered first, as it would be without a proxy: a reset drops all that
 * still waits in this process, and libuv refuses one while a shutdown is pending (uv_tcp_close_reset,
 * EINVAL).
 */
function reset(socket: Socket): void {
  if (socket.destroyed) return
  if (socket.writableEnded && !socket.writableFinished) {
    socket.once('finish', () => reset(socket))
  } else if (!socket.writableEnded && socket.writableLength > 0) {
    // Called once all before it is written.
    socket.write('', () => reset(socket))
  } else {
    socket.resetAndDestroy()
  }
}
