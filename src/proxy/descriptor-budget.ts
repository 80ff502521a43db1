import { Throttle } from '../log/throttle.js'
import { countOpenDescriptors, descriptorLimit } from '../linux/proc/descriptors.js'
import { engineDescriptors } from './descriptor-shares.js'

/** Descriptors kept free for the runtime, the log and files that are open for a moment. */
const RESERVED_DESCRIPTORS = 16
/** A relay has two sockets. */
const DESCRIPTORS_PER_RELAY = 2
/** A port has its socket, one for its launcher, and one for the replies to it, counted in relays. */
const RELAYS_PER_PORT = 3 / 2
/** A flow has one socket, counted in relays. */
const RELAYS_PER_FLOW = 1 / 2
/** With a higher limit there is room for connections at every start, descriptors. */
const LOW_LIMIT = 256
/** Descriptors that a process needs for its engine, its listening socket and one relay. */
const LEAST_DESCRIPTORS = 5
/** The share of the budget that ports leave to connections. */
const SHARE_OF_CONNECTIONS = 1 / 16
/** The number of relays that ports always leave room for. */
const LEAST_CONNECTIONS = 4
/** The share of the budget that UDP flows may take at most while there are listeners: anybody can open flows, with a forged address. */
const SHARE_OF_FLOWS = 1 / 2
/** A shortage that comes and goes is reported at most once per interval, milliseconds. */
const REPORT_INTERVAL_MS = 60_000
/** During a shortage, time between two looks for descriptors that others have closed, milliseconds. */
const REMEASURE_MS = 500

/** A listener that can stop accepting for a while. */
export interface PausableListener {
  pause(): void
  resume(): void
}

/** A port with UDP flows. Each flow can be ended at any time: the client gets another one with its next datagram. */
export interface FlowOwner {
  readonly flowCount: number
  /** Ends the flow that was idle the longest. */
  evictOldestFlow(): void
}

/**
 * How many relays a process can have. accept(2) without a free descriptor fails, and libuv then drops all connections in the backlog.
 * Therefore all listeners of the process pause before it comes to that.
 */
export class DescriptorBudget {
  #capacity: number | undefined
  #relays = 0
  readonly #reports = new Throttle(REPORT_INTERVAL_MS)
  readonly #listeners = new Set<PausableListener>()
  readonly #flowOwners = new Set<FlowOwner>()
  #ports = 0
  #flows = 0
  #isShort = false
  /** Whether other parts of the process also open and close descriptors. */
  #sharesDescriptors = false
  #isRemeasureScheduled = false

  /**
   * @param capacity relays at most; by default derived from the process's limit of descriptors
   * @param threads that an engine of the process may have
   */
  constructor(
    capacity?: number,
    private readonly threads = 1,
  ) {
    this.#capacity = capacity
  }

  /** The budget of a whole process. @param threads that its engine may have */
  static ofProcess(threads: number): DescriptorBudget {
    return new DescriptorBudget(undefined, threads)
  }

  /** Relays at most. */
  get capacity(): number {
    // Measured with the first relay, not at start-up. If /proc can't be opened, no descriptor is left.
    return (this.#capacity ??= Math.max(1, measureCapacity(this.threads, 0) ?? 1))
  }

  /** Whether the process has too few descriptors to forward anything. Measured only where the limit is low, because it takes time. */
  get isTooSmall(): boolean {
    try {
      const limit = descriptorLimit()
      return limit < LOW_LIMIT && limit - countOpenDescriptors() < LEAST_DESCRIPTORS
    } catch {
      return true // No descriptor is left to read the limit with.
    }
  }

  get isExhausted(): boolean {
    return this.#relays >= this.capacity
  }

  /** Counts a relay in. @param relays may be a fraction, for something with fewer descriptors than a relay */
  acquire(relays = 1): void {
    this.#relays += relays
    this.#pauseIfShort()
  }

  /** Whether one more port would leave room for connections. */
  get hasRoomForPort(): boolean {
    const rest = Math.max(LEAST_CONNECTIONS, this.capacity * SHARE_OF_CONNECTIONS)
    return !this.isExhausted && (this.#ports + 1) * RELAYS_PER_PORT + rest <= this.capacity
  }

  /** Counts a port in. */
  acquirePort(): void {
    this.#ports++
    this.acquire(RELAYS_PER_PORT)
  }

  /** Counts a port out. */
  releasePort(): void {
    this.#ports--
    this.release(RELAYS_PER_PORT)
  }

  /**
   * Registers a port with UDP flows.
   * @returns a function that ends this
   */
  registerFlows(owner: FlowOwner): () => void {
    this.#flowOwners.add(owner)
    return () => void this.#flowOwners.delete(owner)
  }

  /**
   * Counts a flow in. Where there is no room, flows make room that were idle the longest: those of the port itself if it has more than its
   * share, else those of the port with the most.
   */
  acquireFlow(owner: FlowOwner): void {
    while (this.flowsAreShort && this.#flows > 0) {
      const victim = this.#victimFor(owner)
      if (victim.flowCount === 0) break
      victim.evictOldestFlow()
    }
    this.#flows++
    this.acquire(RELAYS_PER_FLOW)
  }

  /** Counts a flow out. */
  releaseFlow(): void {
    this.#flows--
    this.release(RELAYS_PER_FLOW)
  }

  /** Whether one more flow has to replace another one. */
  get flowsAreShort(): boolean {
    const share = this.#listeners.size > 0 ? SHARE_OF_FLOWS : 1
    return this.isExhausted || (this.#flows + 1) * RELAYS_PER_FLOW > this.capacity * share
  }

  /** Counts a relay out, and resumes the listeners if there is room again. */
  release(relays = 1): void {
    this.#relays -= relays
    this.#resumeIfRoom()
  }

  /**
   * Measures the capacity again, because another part of the process has opened or closed descriptors. From now on the budget also
   * measures by itself during a shortage: nothing reports that others have closed theirs.
   */
  remeasure(): void {
    this.#sharesDescriptors = true
    this.#capacity = measureCapacity(this.threads, this.#relays) ?? this.#capacity
    this.#pauseIfShort()
    this.#resumeIfRoom()
    if (this.#isShort) this.#remeasureSoon()
  }

  /**
   * Pauses the listener whenever there is no room for one more relay.
   * @returns a function that ends this
   */
  register(listener: PausableListener): () => void {
    this.#listeners.add(listener)
    if (this.#isShort) listener.pause()
    return () => void this.#listeners.delete(listener)
  }

  /** Whether to report a shortage now. A lasting shortage is reported once per interval. */
  shouldReportShortage(): boolean {
    return this.#reports.allows()
  }

  #victimFor(owner: FlowOwner): FlowOwner {
    if (owner.flowCount > this.#flows / this.#flowOwners.size) return owner
    let victim = owner
    for (const each of this.#flowOwners) if (each.flowCount > victim.flowCount) victim = each
    return victim
  }

  #remeasureSoon(): void {
    if (this.#isRemeasureScheduled) return
    this.#isRemeasureScheduled = true
    setTimeout(() => {
      this.#isRemeasureScheduled = false
      this.remeasure()
    }, REMEASURE_MS).unref()
  }

  #pauseIfShort(): void {
    if (this.#isShort || !this.isExhausted) return
    this.#isShort = true
    for (const listener of this.#listeners) listener.pause()
    if (this.#sharesDescriptors) this.#remeasureSoon()
  }

  #resumeIfRoom(): void {
    if (!this.#isShort || this.isExhausted) return
    this.#isShort = false
    const [first] = this.#listeners
    for (const listener of this.#listeners) listener.resume()
    // The first listener to resume has an advantage, so the listeners take turns.
    if (first && this.#listeners.delete(first)) this.#listeners.add(first)
  }
}

/**
 * @param relays that are open
 * @returns undefined if /proc can't be read
 */
function measureCapacity(threads: number, relays: number): number | undefined {
  try {
    const reserved = RESERVED_DESCRIPTORS + engineDescriptors(threads)
    const free = descriptorLimit() - countOpenDescriptors() - reserved
    return Math.max(0, Math.floor(relays + free / DESCRIPTORS_PER_RELAY))
  } catch {
    return undefined
  }
}
