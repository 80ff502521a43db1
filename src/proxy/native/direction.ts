import { ERRNO, MSG, SHORTAGES, SPLICE, SPLICE_REFUSALS } from '../../linux/constants.js'
import { requireFfi } from '../../linux/ffi.js'
import { socketError } from '../../linux/system-error.js'
import type { Kernel } from './kernel.js'
import type { Pipe } from './pipe-pool.js'

/** One of the two sockets of a relay, and what is known of it. */
export interface Side {
  readonly fd: number
  /** Reading may bring something, or the end. */
  readable: boolean
  /** There may be room to write. */
  writable: boolean
  /** A short read does not mean that there is no more: the end of stream may follow without another event. */
  readToTheEnd: boolean
  /** What there is to read is the last of it: the end of stream is in the kernel already. */
  readonly endFollows: boolean
  /** The connection was reset, or written to in vain. */
  isBroken: boolean
}

/** Bytes that a direction may move before the other connections have their turn. */
const TURN_BYTES = 512 * 1024
/** So many reads in a row that fill the buffer are bulk. */
const BULK_READS = 2
/** A splice that brings less, bytes, is bulk no longer. */
const MIN_SPLICE = 16 * 1024
/** As much as is moved by one splice, bytes; a small pipe takes less. */
const MAX_SPLICE = 512 * 1024
const SPLICE_FLAGS = SPLICE.MOVE | SPLICE.NONBLOCK

/**
 * One direction of a relay.
 *
 *              read = 0, or reset               all of it written
 *     flowing ───────────────────▶ ending ──────────────────────▶ over
 *        └──────────────────────────┴────────────────────────────▶ over
 *                        nobody is left to write to
 *
 * Small data is read into the shared buffer and written from there; what the other side does not take at once is kept as `rest`. Bulk
 * goes through a pipe, and what is not taken stays in it. While there is any of the two, nothing is read: that is the backpressure.
 */
export class Direction {
  state: 'flowing' | 'ending' | 'over' = 'flowing'
  /** Whether the relay has done what follows from its end. */
  isSettled = false
  /** Bytes read so far. */
  bytes = 0
  #rest: Buffer | undefined
  #pipe: Pipe | undefined
  #fullReads = 0

  constructor(
    private readonly kernel: Kernel,
    private readonly from: Side,
    private readonly to: Side,
  ) {}

  /**
   * Moves what can be moved now.
   * @returns whether it stopped only to let others have their turn
   */
  pump(): boolean {
    const { from, to } = this
    const limit = this.bytes + TURN_BYTES
    while (this.state !== 'over') {
      if (this.#rest ?? this.#pipe) {
        if (!to.writable) return false
        if (this.#rest) this.#writeRest(this.#rest)
        if (this.#pipe) this.#drain(this.#pipe)
      } else if (this.state === 'ending') {
        this.state = 'over'
      } else if (!from.readable || !to.writable) {
        return false
      } else if (this.bytes >= limit) {
        return true
      } else if (this.#fullReads < BULK_READS || !this.#splice()) {
        this.#copy()
      }
    }
    return false
  }

  /** Whether nothing is kept here: all that was read is written, and nobody has ended. */
  get isQuiet(): boolean {
    return this.state === 'flowing' && !this.#rest && !this.#pipe && !this.to.isBroken
  }

  /** Drops what was not written yet; nothing is read any more. */
  abandon(): void {
    this.state = 'over'
    this.#rest = undefined
    this.#givePipe()
  }

  #copy(): void {
    const { buffer, calls } = this.kernel
    const count = calls.receive(this.from.fd, buffer.address, buffer.bytes.length)
    if (count <= 0) return this.#nothingRead(count)
    this.bytes += count
    if (count === buffer.bytes.length) {
      this.#fullReads++
    } else {
      this.#fullReads = 0
      // All that was there has been read, and what comes next is told by an event.
      if (!this.from.readToTheEnd) this.from.readable = false
    }
    // What ends at once is held back for the end, so that both leave in one packet; a full buffer may not be the last.
    const isLast = this.from.endFollows && count < buffer.bytes.length
    const flags = isLast ? MSG.NOSIGNAL | MSG.MORE : MSG.NOSIGNAL
    const sent = calls.send(this.to.fd, buffer.address, count, flags)
    if (sent === count) return
    if (sent < 0) this.#nothingWritten(sent)
    else this.to.writable = false
    if (this.state !== 'over') {
      this.#rest = Buffer.from(buffer.bytes.subarray(Math.max(sent, 0), count))
    }
  }

  #writeRest(rest: Buffer): void {
    const address = requireFfi().addressOf(rest)
    const sent = this.kernel.calls.send(this.to.fd, address, rest.length, MSG.NOSIGNAL)
    if (sent < 0) return this.#nothingWritten(sent)
    if (sent < rest.length) this.to.writable = false
    this.#rest = sent < rest.length ? rest.subarray(sent) : undefined
  }

  /**
   * Returns false where it brought nothing, and reading has to tell why: splice(2) does not step over urgent data, and answers as if
   * there were nothing before it, or the end; and some sockets don't have it.
   */
  #splice(): boolean {
    const pipe = this.kernel.pipes.take()
    if (!pipe) return false
    this.#pipe = pipe
    const count = this.kernel.calls.splice(this.from.fd, pipe.writeEnd, MAX_SPLICE, SPLICE_FLAGS)
    if (count < MIN_SPLICE) this.#fullReads = 0
    if (count <= 0) {
      // The kernel tells of a reset only once, and the read that follows says end.
      if (count < 0 && !SPLICE_REFUSALS.includes(-count)) this.from.isBroken = true
      this.#givePipe()
      return false
    }
    this.bytes += count
    pipe.held = count
    this.#drain(pipe)
    return true
  }

  #drain(pipe: Pipe): void {
    while (pipe.held > 0) {
      const count = this.kernel.calls.splice(pipe.readEnd, this.to.fd, pipe.held, SPLICE_FLAGS)
      if (count <= 0) return this.#nothingWritten(count)
      pipe.held -= count
    }
    this.#givePipe()
  }

  #givePipe(): void {
    if (this.#pipe) this.kernel.pipes.give(this.#pipe)
    this.#pipe = undefined
  }

  /** @param answer of the read: 0 at the end of stream, or the negative errno */
  #nothingRead(answer: number): void {
    if (answer === -ERRNO.EINTR) return
    this.from.readable = false
    if (answer === -ERRNO.EAGAIN) return
    throwShortage(answer)
    // What is known to be broken stays so, though the next read says end.
    if (answer < 0) this.from.isBroken = true
    this.state = 'ending'
  }

  /** @param answer of the write: the negative errno; or 0, which is none of a write's answers */
  #nothingWritten(answer: number): void {
    if (answer === -ERRNO.EINTR) return
    if (answer === -ERRNO.EAGAIN) {
      this.to.writable = false
      return
    }
    throwShortage(answer)
    this.to.isBroken = true
    this.abandon()
  }
}

/** The system has run out of memory, which says nothing of the socket: this connection ends by a fault. */
function throwShortage(answer: number): void {
  if (SHORTAGES.includes(-answer)) throw socketError(-answer)
}
