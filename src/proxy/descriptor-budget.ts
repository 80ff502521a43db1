import { Seldom } from '../log/seldom.js'
import { countOpenDescriptors, descriptorLimit } from '../linux/descriptors.js'
import { descriptorsOfEngine } from './engine-share.js'

/** Kept free for the runtime, the log and whatever opens a file for a moment. */
const RESERVE = 16
/** A relay holds two sockets. */
const PER_RELAY = 2
/** A shortage that comes and goes is told this seldom, milliseconds. */
const TELL_AGAIN_MS = 60_000

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
    // Read with the first relay, not at start-up.
    return (this.#capacity ??= measureCapacity(this.threads))
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

  /** Looks again how many there can be: others in the process have opened descriptors, or closed some. */
  measureAgain(): void {
    this.#capacity = measureCapacity(this.threads, this.#relays)
    this.#pause()
    this.#resume()
  }

  #pause(): void {
    if (this.#isShort || !this.exhausted) return
    this.#isShort = true
    for (const intake of this.#intakes) intake.pause()
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

/** @param relays that there are already */
function measureCapacity(threads: number, relays = 0): number {
  try {
    const ours = RESERVE + descriptorsOfEngine(threads)
    const free = descriptorLimit() - countOpenDescriptors() - ours
    return Math.max(1, Math.floor(relays + free / PER_RELAY))
  } catch {
    return 1 // Not even /proc can be opened: there is no descriptor left.
  }
}
