import { readSync } from 'node:fs'
import type { Socket } from 'node:net'
import { errnoCode, isReset } from '../../linux/errno.js'
import { descriptorOf } from './descriptor.js'

/** Bytes of one read. */
const BLOCK_SIZE = 64 * 1024

/**
 * Delivers what the other end of a socket sent before it reset the connection, for example a server that refuses an upload and closes. The
 * kernel still has this data, see tcp(7), but Node destroys a socket as soon as a write to it fails, and would lose the data.
 *
 * @param deliver called with the rest, at most one receive buffer, before the socket is closed
 */
export function deliverUnreadData(socket: Socket, deliver: (data: Buffer) => void): void {
  const destroy = socket._destroy.bind(socket)
  socket._destroy = (err, done) => {
    if (isFailedWrite(err)) for (const data of unreadData(socket)) deliver(data)
    destroy(err, done)
  }
}

/**
 * Whether the end of stream that Node reports was a reset. libuv (uv__read) reports a reset right behind data as an end; the kernel still
 * knows.
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

function* unreadData(socket: Socket): Generator<Buffer> {
  for (let data: unknown; (data = socket.read()) !== null;) yield data as Buffer
  const fd = descriptorOf(socket)
  if (fd === undefined) return
  for (;;) {
    const block = Buffer.allocUnsafe(BLOCK_SIZE)
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
