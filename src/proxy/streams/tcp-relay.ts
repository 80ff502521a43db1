import { connect, type Socket } from 'node:net'
import type { Log } from '../../log/log.js'
import { errnoReason } from '../../linux/errno.js'
import { isPort } from '../listen-error.js'
import { saveLastWords } from './last-words.js'
import { joinHostPort, type PublishedPort } from '../published-port.js'

/** Go's default, milliseconds: idle connections whose other end has vanished are found out. */
const KEEP_ALIVE_MS = 15_000

/** What both sockets of a relay are set to. */
export const SOCKET_OPTIONS = {
  allowHalfOpen: true,
  noDelay: true,
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_MS,
} as const

export interface Relay {
  /** Ends it at once, whatever is under way. */
  destroy(): void
}

/** How a relay ended: its backend was reached, or not. */
export type RelayOutcome = 'joined' | 'failed-dial'

/**
 * Joins a client to the container's side of a published port.
 *
 *     client ──pipe──▶ backend      end of stream: the other side is shut down for writing,
 *            ◀──pipe──              reset:         the other side is reset.
 *
 * Each pipe reads only as fast as the other side takes, so a relay holds two small buffers and no more.
 *
 * @param client accepted, and not read from yet: what it sends waits in the kernel until the backend
 *   has answered
 * @param ended called once, when both sockets are closed
 */
export function openRelay(
  client: Socket,
  port: PublishedPort,
  log: Log,
  ended: (outcome: RelayOutcome) => void,
): Relay {
  const { containerIp, containerPort } = port
  const started = Date.now()
  const from = log.debugEnabled
    ? joinHostPort(client.remoteAddress ?? '?', client.remotePort ?? 0)
    : ''
  let outcome: RelayOutcome = 'failed-dial'
  let open = 2

  const backend = connect({
    ...SOCKET_OPTIONS,
    host: containerIp === '' ? '127.0.0.1' : containerIp,
    // Whatever the flags said, the proxy lives: a port that can't be is refused connection by connection.
    port: isPort(containerPort) ? containerPort : 0,
  })

  const closed = (): void => {
    if (--open > 0) return
    log.debug('Connection closed', {
      client: from,
      bytesIn: client.bytesRead,
      bytesOut: backend.bytesRead,
      durationMs: Date.now() - started,
    })
    ended(outcome)
  }
  client.on('close', closed)
  backend.on('close', closed)

  client.on('error', () => (backend.connecting ? backend.destroy() : reset(backend)))
  backend.on('error', (err) => {
    if (outcome === 'joined') return reset(client)
    const address = joinHostPort(containerIp, containerPort)
    const reason = isPort(containerPort) ? errnoReason(err) : 'invalid port'
    log.error(
      `Can't forward traffic to backend tcp/${address}: dial tcp ${address}: connect: ${reason}`,
    )
    client.destroy()
  })
  backend.once('connect', () => {
    outcome = 'joined'
    saveLastWords(backend, (data) => client.write(data))
    saveLastWords(client, (data) => backend.write(data))
    client.pipe(backend)
    backend.pipe(client)
  })

  return {
    destroy() {
      client.destroy()
      backend.destroy()
    },
  }
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
