import { readSync } from 'node:fs'
import type { Socket } from 'node:net'
import { errnoCode, isReset } from '../../linux/errno.js'
import { descriptorOf } from './descriptor.js'

const BLOCK = 64 * 1024

/**
 * Saves what the other end of a socket had sent before it reset the connection, as a server does that answers an
 * upload with a refusal and closes. The kernel still has it, see tcp(7), but Node destroys a socket as soon as a write to
 * it fails, and would drop it.
 *
 * @param deliver called with what is left, at most one receive buffer, before the socket is closed
 */
export function saveLastWords(socket: Socket, deliver: (data: Buffer) => void): void {
  const destroy = socket._destroy.bind(socket)
  socket._destroy = (err, done) => {
    if (isFailedWrite(err)) for (const data of leftIn(socket)) deliver(data)
    destroy(err, done)
  }
}

/**
 * Whether what Node calls the end of stream was a reset: libuv (uv__read) takes one that came right behind data for an end. The
 * kernel still tells.
 */
export function wasReset(socket: Socket): boolean {
  const fd = descriptorOf(socket)
  if (fd === undefined) return false
  try {
    readSync(fd, Buffer.alloc(1))
    return false
  } catch (err) {
    return errnoCode(err) === 'ECONNRESET'
  }
}

function isFailedWrite(err: NodeJS.ErrnoException | null): boolean {
  return err?.syscall === 'write' && isReset(err)
}

function* leftIn(socket: Socket): Generator<Buffer> {
  for (let data: unknown; (data = socket.read()) !== null;) yield data as Buffer
  const fd = descriptorOf(socket)
  if (fd === undefined) return
  for (;;) {
    const block = Buffer.allocUnsafe(BLOCK)
    let count: number
    try {
      count = readSync(fd, block)
    } catch {
      return // EAGAIN, or the reset itself: there is no more.
    }
    if (count === 0) return
    yield block.subarray(0, count)
  }
}
