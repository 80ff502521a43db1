import type { Socket } from 'node:net'
import { hasPeer } from './descriptor.js'

/** Time between two checks, milliseconds: the kernel probes an idle connection at this interval as well. */
const INTERVAL_MS = 15_000

/**
 * Half-closed connections. Those whose other end has vanished are ended: the kernel's keep-alive notices it, but libuv does not look at a
 * socket from which everything is read and to which nothing is written.
 */
export class HalfClosedSockets {
  readonly #sockets = new Set<Socket>()
  #timer: NodeJS.Timeout | undefined

  /** Watches a socket until it is closed. */
  add(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#remove(socket))
    this.#timer ??= setInterval(() => this.#check(), INTERVAL_MS).unref()
  }

  #check(): void {
    for (const socket of this.#sockets) {
      if (hasPeer(socket)) continue
      socket.destroy(Object.assign(new Error('connection timed out'), { code: 'ETIMEDOUT' }))
    }
  }

  #remove(socket: Socket): void {
    this.#sockets.delete(socket)
    if (this.#sockets.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }
}
