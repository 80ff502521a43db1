import { Seldom } from '../log/seldom.js'
import { countOpenDescriptors, descriptorLimit } from '../linux/descriptors.js'
import { descriptorsOfEngine } from './engine-share.js'

/** Kept free for the runtime, the log and whatever opens a file for a moment. */
const RESERVE = 16
/** A relay holds two sockets. */
const PER_RELAY = 2
/** A shortage that comes and goes is told this seldom, milliseconds. */
const TELL_AGAIN_MS = 60_000
/** When it is looked for room that others have made, milliseconds. */
const MEASURE_AGAIN_MS = 500

/** What takes in relays, one after another, until it is told to wait. */
export interface Intake {
  pause(): void
  resume(): void
}

/**
 * How many relays a process can afford. Accepting without a descriptor left would fail, and libuv then
 * drops all that wait in the backlog; so all listeners of the process are paused before.
 */
export class DescriptorBudget {
  #capacity: number | undefined
  #relays = 0
  readonly #shortages = new Seldom(TELL_AGAIN_MS)
  readonly #intakes = new Set<Intake>()
  #isShort = false
  /** Whether others in the process open descriptors as well. */
  #hasOthers = false
  /** Whether it is looked again soon. */
  #isDue = false

  /**
   * @param capacity relays at most; left out, it follows the process's limit of descriptors
   * @param threads that an engine of the process may have
   */
  constructor(
    capacity?: number,
    private readonly threads = 1,
  ) {
    this.#capacity = capacity
  }

  /** That of a whole process, with as many threads at most. */
  static ofProcess(threads: number): DescriptorBudget {
    return new DescriptorBudget(undefined, threads)
  }

  get capacity(): number {
    // Read with the first relay, not at start-up. Where not even /proc can be opened there is no descriptor left.
    return (this.#capacity ??= measureCapacity(this.threads, 0) ?? 1)
  }

  get exhausted(): boolean {
    return this.#relays >= this.capacity
  }

  /** Counts a relay in, or what takes only a share of its descriptors. */
  take(relays = 1): void {
    this.#relays += relays
    this.#pause()
  }

  /** Counts out what was counted in, and lets the listeners have the place. */
  give(relays = 1): void {
    this.#relays -= relays
    this.#resume()
  }

  /**
   * Looks again how many there can be: others in the process have opened descriptors, or closed some. From then on it does so by itself
   * in a shortage: nothing tells when others have closed theirs.
   */
  measureAgain(): void {
    this.#hasOthers = true
    this.#capacity = measureCapacity(this.threads, this.#relays) ?? this.#capacity
    this.#pause()
    this.#resume()
    if (this.#isShort) this.#measureSoon()
  }

  #measureSoon(): void {
    if (this.#isDue) return
    this.#isDue = true
    setTimeout(() => {
      this.#isDue = false
      this.measureAgain()
    }, MEASURE_AGAIN_MS).unref()
  }

  #pause(): void {
    if (this.#isShort || !this.exhausted) return
    this.#isShort = true
    for (const intake of this.#intakes) intake.pause()
    if (this.#hasOthers) this.#measureSoon()
  }

  #resume(): void {
    if (!this.#isShort || this.exhausted) return
    this.#isShort = false
    const [first] = this.#intakes
    for (const intake of this.#intakes) intake.resume()
    // Who is first may be quickest: each has its turn.
    if (first && this.#intakes.delete(first)) this.#intakes.add(first)
  }

  /**
   * Pauses it whenever there is no room for one more relay.
   * @returns ends that
   */
  govern(intake: Intake): () => void {
    this.#intakes.add(intake)
    if (this.#isShort) intake.pause()
    return () => void this.#intakes.delete(intake)
  }

  /** Whether a shortage should be told: not again and again while it lasts. */
  isShortageWorthAWord(): boolean {
    return this.#shortages.isDue()
  }
}

/**
 * @param relays that there are already
 * @returns undefined where it can't be told
 */
function measureCapacity(threads: number, relays: number): number | undefined {
  try {
    const ours = RESERVE + descriptorsOfEngine(threads)
    const free = descriptorLimit() - countOpenDescriptors() - ours
    return Math.max(1, Math.floor(relays + free / PER_RELAY))
  } catch {
    return undefined
  }
}
