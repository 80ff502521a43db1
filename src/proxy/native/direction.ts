import { ERRNO, MSG, SHORTAGES, SPLICE, SPLICE_REFUSALS } from '../../linux/ffi/constants.js'
import { requireFfi } from '../../linux/ffi/ffi.js'
import { socketError } from '../../linux/ffi/system-error.js'
import type { Pollable } from '../../linux/sockets/poller.js'
import type { Bandwidth, BandwidthWaiter } from '../bandwidth.js'
import type { Pipe } from './pipe-pool.js'
import type { Reactor } from './reactor.js'

/** The state of one of a relay's two sockets. */
export interface Side extends Pollable {
  readonly fd: number
  /** With SCTP, a read returns one message. */
  readonly hasMessages: boolean
  /** A read may return data, or the end of stream. */
  readable: boolean
  /** There may be room to write. */
  writable: boolean
  /** Read until recv(2) returns nothing: after a short read the end of stream may follow without another event. */
  readUntilEmpty: boolean
  /** The end of stream is already in the kernel, behind the data. */
  readonly endIsQueued: boolean
  /** The connection was reset, or a write to it failed. */
  isBroken: boolean
}

/** Bytes that a direction may move before other connections get their turn. */
const TURN_BYTES = 512 * 1024
/** After this many reads in a row that fill the buffer, the data counts as bulk. */
const BULK_READS = 2
/** After a splice of fewer bytes the data no longer counts as bulk. */
const MIN_SPLICE = 16 * 1024
/** Bytes of one splice at most; a small pipe takes fewer. */
const MAX_SPLICE = 512 * 1024
const SPLICE_FLAGS = SPLICE.MOVE | SPLICE.NONBLOCK

/**
 * One direction of a relay.
 *
 *              end of stream, or reset          all data written
 *     flowing ─────────────────────────▶ ending ────────────────▶ over
 *        └────────────────────────────────┴─────────────────────▶ over
 *                         the other side is broken
 *
 * Small data is read into the shared buffer and written from there. What the other side does not accept at once is kept as `#unsent`. Bulk
 * data goes through a pipe, and what the other side does not accept stays in the pipe. While either holds data, nothing is read: this is
 * the backpressure. Nothing is read either while the bandwidth of the port is in use.
 */
export class Direction implements BandwidthWaiter {
  state: 'flowing' | 'ending' | 'over' = 'flowing'
  /** Whether the relay has acted on the end of this direction. */
  isSettled = false
  /** Bytes read so far. */
  bytes = 0
  #unsent: Buffer | undefined
  #pipe: Pipe | undefined
  #fullReads = 0

  constructor(
    private readonly reactor: Reactor,
    private readonly from: Side,
    private readonly to: Side,
    private readonly bandwidth: Bandwidth,
  ) {}

  /**
   * Moves all data that can be moved now.
   * @returns whether it stopped only to give other connections their turn
   */
  pump(): boolean {
    const { from, to } = this
    const limit = this.bytes + TURN_BYTES
    while (this.state !== 'over') {
      if (this.#unsent ?? this.#pipe) {
        if (!to.writable) return false
        if (this.#unsent) this.#writeUnsent(this.#unsent)
        if (this.#pipe) this.#drain(this.#pipe)
      } else if (this.state === 'ending') {
        this.state = 'over'
      } else if (!from.readable || !to.writable) {
        return false
      } else if (this.bytes >= limit) {
        return true
      } else {
        const most = this.bandwidth.grant(this)
        if (most === 0) {
          this.bandwidth.wait(this)
          return false
        }
        if (this.#fullReads < BULK_READS || !this.#splice(most)) this.#copy(most)
      }
    }
    return false
  }

  /** Whether data waits for bandwidth. */
  get isThrottled(): boolean {
    return this.bandwidth.isWaiting(this)
  }

  /** It is the turn of this direction: there is bandwidth again. */
  wake(): void {
    this.reactor.poller.defer(this.from)
  }

  /** Whether all data that was read is written, and neither side has ended. */
  get isQuiet(): boolean {
    return this.state === 'flowing' && !this.#unsent && !this.#pipe && !this.to.isBroken
  }

  /** Ends the direction, and drops data that is not written yet. */
  abandon(): void {
    this.state = 'over'
    this.bandwidth.forget(this)
    this.#unsent = undefined
    this.#returnPipe()
  }

  /** @param most bytes */
  #copy(most: number): void {
    const { buffer, syscalls } = this.reactor
    // A part of a message would become a message of its own.
    const length = this.from.hasMessages ? buffer.bytes.length : Math.min(most, buffer.bytes.length)
    const count = syscalls.receive(this.from.fd, buffer.address, length)
    if (count <= 0) return this.#handleReadResult(count)
    this.#moved(count)
    if (count === buffer.bytes.length) {
      this.#fullReads++
    } else {
      this.#fullReads = 0
    }
    if (count < length) {
      // The socket is empty. An event reports the next data.
      if (!this.from.readUntilEmpty) this.from.readable = false
    }
    // Holding back the last data sends it together with the end, in one packet. A full buffer may not be the last.
    const isLast = this.from.endIsQueued && count < length
    const flags = isLast ? MSG.NOSIGNAL | MSG.MORE : MSG.NOSIGNAL
    const sent = syscalls.send(this.to.fd, buffer.address, count, flags)
    if (sent === count) return
    if (sent < 0) this.#handleWriteError(sent)
    else this.#pause()
    if (this.state !== 'over') {
      this.#unsent = Buffer.from(buffer.bytes.subarray(Math.max(sent, 0), count))
    }
  }

  /** The other side takes no more data. */
  #pause(): void {
    this.to.writable = false
    this.bandwidth.paused()
  }

  #moved(count: number): void {
    this.bytes += count
    this.bandwidth.spend(count)
  }

  #writeUnsent(unsent: Buffer): void {
    const address = requireFfi().addressOf(unsent)
    const sent = this.reactor.syscalls.send(this.to.fd, address, unsent.length, MSG.NOSIGNAL)
    if (sent < 0) return this.#handleWriteError(sent)
    if (sent < unsent.length) this.#pause()
    this.#unsent = sent < unsent.length ? unsent.subarray(sent) : undefined
  }

  /**
   * Returns false if splice(2) moved nothing; a read then tells why. splice(2) stops before urgent data as if there were nothing, or an
   * end, and some sockets do not support it.
   * @param most bytes
   */
  #splice(most: number): boolean {
    const pipe = this.reactor.pipes.borrow()
    if (!pipe) return false
    this.#pipe = pipe
    const { syscalls } = this.reactor
    const length = Math.min(most, MAX_SPLICE)
    const count = syscalls.splice(this.from.fd, pipe.writeEnd, length, SPLICE_FLAGS)
    if (count < MIN_SPLICE) this.#fullReads = 0
    if (count <= 0) {
      // The kernel reports a reset only once, and the next read reports an end.
      if (count < 0 && !SPLICE_REFUSALS.includes(-count)) this.from.isBroken = true
      this.#returnPipe()
      return false
    }
    this.#moved(count)
    pipe.buffered = count
    this.#drain(pipe)
    return true
  }

  #drain(pipe: Pipe): void {
    const { syscalls } = this.reactor
    while (pipe.buffered > 0) {
      const count = syscalls.splice(pipe.readEnd, this.to.fd, pipe.buffered, SPLICE_FLAGS)
      if (count <= 0) return this.#handleWriteError(count)
      pipe.buffered -= count
    }
    this.#returnPipe()
  }

  #returnPipe(): void {
    if (this.#pipe) this.reactor.pipes.giveBack(this.#pipe)
    this.#pipe = undefined
  }

  /** @param result of a read that returned no data: 0 at the end of stream, or the negative errno */
  #handleReadResult(result: number): void {
    if (result === -ERRNO.EINTR) return
    this.from.readable = false
    if (result === -ERRNO.EAGAIN) return
    throwShortage(result)
    // A side that is known to be broken stays broken, although the next read reports an end.
    if (result < 0) this.from.isBroken = true
    this.state = 'ending'
  }

  /** @param result of a failed write: the negative errno, or 0, which a write never returns */
  #handleWriteError(result: number): void {
    if (result === -ERRNO.EINTR) return
    if (result === -ERRNO.EAGAIN) return this.#pause()
    throwShortage(result)
    this.to.isBroken = true
    this.abandon()
  }
}

/** Out of memory says nothing about the socket: the connection ends with an internal error. @throws SystemError */
function throwShortage(result: number): void {
  if (SHORTAGES.includes(-result)) throw socketError(-result)
}
