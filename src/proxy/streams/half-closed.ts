import type { Socket } from 'node:net'
import { hasPeer } from './descriptor.js'

/** Time between two checks, milliseconds: the kernel probes an idle connection at this interval as well. */
const INTERVAL_MS = 15_000

const sockets = new Set<Socket>()
let timer: NodeJS.Timeout | undefined

/**
 * Ends a half-closed connection whose other end has vanished. The kernel's keep-alive notices it, but libuv does not look at a socket
 * from which everything is read and to which nothing is written.
 */
export function watchHalfClosed(socket: Socket): void {
  sockets.add(socket)
  socket.once('close', () => forget(socket))
  timer ??= setInterval(check, INTERVAL_MS).unref()
}

function check(): void {
  for (const socket of sockets) {
    if (hasPeer(socket)) continue
    socket.destroy(Object.assign(new Error('connection timed out'), { code: 'ETIMEDOUT' }))
  }
}

function forget(socket: Socket): void {
  sockets.delete(socket)
  if (sockets.size > 0) return
  clearInterval(timer)
  timer = undefined
}
