/** Time at the full rate that may be used at once after a pause, nanoseconds. */
const BURST_NS = 50_000_000n
/** Data of one turn of a direction, as a time at the full rate, milliseconds. */
const TURN_MS = 10
/** Bytes of a turn at least: a packet of Ethernet. */
const LEAST_TURN = 1_460
/** Time between two looks at the waiting directions, milliseconds. */
const LOOK_MS = 2
/** The rate may change while directions wait, milliseconds. */
const LONGEST_WAIT_MS = 50
/** Units of time. */
const MS_PER_S = 1_000
const NS_PER_MS = 1_000_000
const NS_PER_S = 1_000_000_000

/** The numbers of a bandwidth, in memory that threads may share. */
export interface BandwidthMemory {
  /** Bytes per second, by place; 0 for no limit. */
  readonly rates: Int32Array
  /** Time until which the moved bytes use the bandwidth, by place, nanoseconds of the monotonic clock. */
  readonly usedUntil: BigInt64Array
  /** How often a direction has paused, by place. */
  readonly pauses: Int32Array
}

/** A direction of a relay that waits for its turn. */
export interface BandwidthWaiter {
  /** The turn has come. Called from the event loop. Must not throw. */
  wake(): void
}

/**
 * Limits the bytes per second of all directions that share it, also in other threads: a leaky bucket (GCRA) in shared memory. In each thread the
 * directions take turns.
 */
export class Bandwidth {
  readonly #waiting = new Set<BandwidthWaiter>()
  /** Directions whose turn has come. */
  readonly #woken = new Set<BandwidthWaiter>()
  #isLooking = false
  /** Directions that one look wakes at least. It grows while they leave bandwidth unused. */
  #batch = 1

  /**
   * @param place of its numbers in the memory
   * @param delay calls a function after a time, milliseconds
   * @param now the monotonic clock of all threads, nanoseconds
   */
  constructor(
    private readonly memory: BandwidthMemory,
    private readonly place: number,
    private readonly delay: (milliseconds: number, callback: () => void) => void,
    private readonly now: () => bigint = () => process.hrtime.bigint(),
  ) {}

  /** @param bytesPerSecond below 2^31; Infinity for no limit */
  limit(bytesPerSecond: number): void {
    const { rates, usedUntil } = this.memory
    const rate = bytesPerSecond === Infinity ? 0 : bytesPerSecond
    if (rate === this.#rate) return
    // Bytes that were moved at another rate delay the next ones by a moment at most.
    const latest = this.now() + (rate === 0 ? 0n : BURST_NS)
    if (Atomics.load(usedUntil, this.place) > latest) Atomics.store(usedUntil, this.place, latest)
    Atomics.store(rates, this.place, rate)
  }

  /** Bytes that a direction may move now; Infinity without a limit; 0 if it has to `wait`. */
  grant(waiter: BandwidthWaiter): number {
    const rate = this.#rate
    if (rate === 0) return Infinity
    if (this.#waiting.has(waiter)) return 0
    const isWoken = this.#woken.delete(waiter)
    if (!isWoken && this.#waiting.size > 0) return 0
    return this.#free(rate) > 0 ? turnBytes(rate) : 0
  }

  /** Counts a datagram, if there is bandwidth for it. A datagram does not wait. @returns false if it has to be dropped */
  admits(bytes: number): boolean {
    const rate = this.#rate
    if (rate === 0) return true
    if (this.#free(rate) <= 0) return false
    this.spend(bytes)
    return true
  }

  /** Counts a pause of a direction whose receiver takes no more data. */
  paused(): void {
    Atomics.add(this.memory.pauses, this.place, 1)
  }

  /** Counts moved bytes. More than the granted ones delay later turns. */
  spend(bytes: number): void {
    const rate = this.#rate
    if (rate === 0) return
    const { usedUntil } = this.memory
    const cost = BigInt(Math.round((bytes * NS_PER_S) / rate))
    for (;;) {
      const before = Atomics.load(usedUntil, this.place)
      const earliest = this.now() - BURST_NS
      const after = (before > earliest ? before : earliest) + cost
      if (Atomics.compareExchange(usedUntil, this.place, before, after) === before) return
    }
  }

  /** Has a direction woken when its turn comes. */
  wait(waiter: BandwidthWaiter): void {
    this.#waiting.add(waiter)
    this.#lookSoon()
  }

  /** Whether a direction waits for its turn. */
  isWaiting(waiter: BandwidthWaiter): boolean {
    return this.#waiting.size > 0 && this.#waiting.has(waiter)
  }

  /** Forgets a direction that has ended. */
  forget(waiter: BandwidthWaiter): void {
    this.#waiting.delete(waiter)
    this.#woken.delete(waiter)
  }

  get #rate(): number {
    return Atomics.load(this.memory.rates, this.place)
  }

  /** Bytes that are free; negative while the moved ones use the bandwidth. */
  #free(rate: number): number {
    const now = this.now()
    const used = Atomics.load(this.memory.usedUntil, this.place)
    const earliest = now - BURST_NS
    return (Number(now - (used > earliest ? used : earliest)) * rate) / NS_PER_S
  }

  #lookSoon(): void {
    if (this.#isLooking || this.#waiting.size === 0) return
    this.#isLooking = true
    const used = Atomics.load(this.memory.usedUntil, this.place)
    const busyMs = Math.ceil(Number(used - this.now()) / NS_PER_MS)
    this.delay(Math.min(LONGEST_WAIT_MS, Math.max(LOOK_MS, busyMs)), this.#look)
  }

  readonly #look = (): void => {
    this.#isLooking = false
    const rate = this.#rate
    const turns = rate === 0 ? Infinity : this.#free(rate) / turnBytes(rate)
    const mayDouble = turns >= fullTurns(rate)
    this.#batch = mayDouble ? this.#batch * 2 : 1
    const most = turns > 0 ? Math.max(turns, this.#batch) : 0
    let count = 0
    for (const waiter of this.#waiting) {
      if (count++ >= most) break
      this.#waiting.delete(waiter)
      this.#woken.add(waiter)
      waiter.wake()
    }
    this.#lookSoon()
  }
}

function turnBytes(rate: number): number {
  return Math.max(LEAST_TURN, Math.ceil((rate * TURN_MS) / MS_PER_S))
}

/** Turns that are free while the directions use almost nothing. */
function fullTurns(rate: number): number {
  return (Number(BURST_NS) * rate) / NS_PER_S / turnBytes(rate) / 2
}
