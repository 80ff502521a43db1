/** Bytes that may be moved at once after a pause, as a time at the full rate, microseconds. */
const BURST_US = 50_000n
/** A direction moves as much as fits into this time before others have their turn, milliseconds. */
const TURN_MS = 10
const MS_PER_S = 1_000
const US_PER_S = 1_000_000

/** Numbers in the memory: bytes per second, 0 for no limit; and when the bytes so far are paid for, microseconds of the monotonic clock. */
export interface BandwidthMemory {
  readonly rate: Int32Array
  readonly paidUntil: BigInt64Array
}

/** Bytes of memory that `bandwidthMemory` needs, a multiple of 8. */
export const BANDWIDTH_MEMORY_LENGTH = 16

/** @param offset in the memory, bytes; a multiple of 8 */
export function bandwidthMemory(memory: SharedArrayBuffer, offset: number): BandwidthMemory {
  return {
    rate: new Int32Array(memory, offset, 1),
    paidUntil: new BigInt64Array(memory, offset + 8, 1),
  }
}

/** A direction of a relay that waits for its turn. */
export interface BandwidthWaiter {
  /** There is something to move. Called from the event loop. Must not throw. */
  wake(): void
}

/**
 * Limits the bytes per second of all directions that share it, also those of other threads: a leaky bucket (GCRA) in shared memory. Directions
 * that wait have their turns in order, so that none takes all.
 */
export class Bandwidth {
  readonly #waiting = new Set<BandwidthWaiter>()
  /** Directions whose turn it is. */
  readonly #woken = new Set<BandwidthWaiter>()
  #isTicking = false

  /**
   * @param delay calls a function after a time, milliseconds
   * @param now the monotonic clock that all threads share, nanoseconds
   */
  constructor(
    private readonly memory: BandwidthMemory,
    private readonly delay: (milliseconds: number, callback: () => void) => void,
    private readonly now: () => bigint = () => process.hrtime.bigint(),
  ) {}

  /** @param bytesPerSecond below 2^31; Infinity for no limit */
  limit(bytesPerSecond: number): void {
    Atomics.store(this.memory.rate, 0, bytesPerSecond === Infinity ? 0 : bytesPerSecond)
  }

  /** Bytes that a direction may move now; Infinity without a limit; 0 if it has to `wait`. */
  grant(waiter: BandwidthWaiter): number {
    const rate = this.#rate
    if (rate === 0) return Infinity
    if (this.#waiting.has(waiter)) return 0
    const isWoken = this.#woken.delete(waiter)
    if (!isWoken && this.#waiting.size > 0) return 0
    const turn = turnBytes(rate)
    return this.#balance(rate) >= turn ? turn : 0
  }

  /** Whether a datagram may pass. If not, it is dropped: nobody waits for it. */
  admits(bytes: number): boolean {
    const rate = this.#rate
    if (rate === 0) return true
    if (this.#balance(rate) <= 0) return false
    this.spend(bytes)
    return true
  }

  /** Counts bytes that were moved. They may be more than granted: later ones wait longer then. */
  spend(bytes: number): void {
    const rate = this.#rate
    if (rate === 0) return
    const { paidUntil } = this.memory
    const cost = BigInt(Math.round((bytes * US_PER_S) / rate))
    for (;;) {
      const before = Atomics.load(paidUntil, 0)
      const earliest = this.#nowUs - BURST_US
      const after = (before > earliest ? before : earliest) + cost
      if (Atomics.compareExchange(paidUntil, 0, before, after) === before) return
    }
  }

  /** Has a direction woken when it may move more. */
  wait(waiter: BandwidthWaiter): void {
    this.#waiting.add(waiter)
    this.#tickSoon()
  }

  /** Forgets a direction that has ended. */
  forget(waiter: BandwidthWaiter): void {
    this.#waiting.delete(waiter)
    this.#woken.delete(waiter)
  }

  get #rate(): number {
    return Atomics.load(this.memory.rate, 0)
  }

  get #nowUs(): bigint {
    return this.now() / 1000n
  }

  /** Bytes that are free; negative while earlier ones are not paid for. */
  #balance(rate: number): number {
    const now = this.#nowUs
    const paidUntil = Atomics.load(this.memory.paidUntil, 0)
    const earliest = now - BURST_US
    const free = now - (paidUntil > earliest ? paidUntil : earliest)
    return (Number(free) * rate) / US_PER_S
  }

  #tickSoon(): void {
    if (this.#isTicking || this.#waiting.size === 0) return
    this.#isTicking = true
    this.delay(TURN_MS, this.#tick)
  }

  readonly #tick = (): void => {
    this.#isTicking = false
    const rate = this.#rate
    let turns = rate === 0 ? Infinity : this.#balance(rate) / turnBytes(rate)
    for (const waiter of this.#waiting) {
      if (turns < 1) break
      turns--
      this.#waiting.delete(waiter)
      this.#woken.add(waiter)
      waiter.wake()
    }
    this.#tickSoon()
  }
}

function turnBytes(rate: number): number {
  return Math.ceil((rate * TURN_MS) / MS_PER_S)
}
