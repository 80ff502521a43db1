import type { Relay } from './transport.js'

/** Looks within the shortest timeout. */
const LOOKS = 8
/** Time between two looks at least, and at most, milliseconds. */
const SHORTEST_MS = 50
const LONGEST_MS = 60_000

export interface Timeouts {
  /** How long a backend may take to accept, milliseconds; Infinity for no limit. */
  readonly dialMs: number
  /** How long no byte may move, milliseconds; Infinity for no limit. */
  readonly idleMs: number
  /** The same once one side has ended its direction. The shorter time counts. */
  readonly halfClosedMs: number
}

export interface TimeoutEvents {
  /** The backend takes too long to accept. */
  dialTimedOut(relay: Relay): void
  wentIdle(relay: Relay): void
}

/** The state of a relay at earlier looks. */
interface Look {
  readonly bytes: number
  readonly isHalfClosed: boolean
  /** Looks that have found it in this state, after the first one. A process that was stopped for a while has missed its looks. */
  readonly unchanged: number
}

/**
 * Finds relays that dial or say nothing for too long. It looks at all of them from time to time, so that a connection that lives for a moment
 * costs nothing. A time may be exceeded by a quarter and twice the shortest time between two looks.
 */
export class RelayTimeouts {
  #looks: ReadonlyMap<Relay, Look> | undefined
  #timer: NodeJS.Timeout | undefined
  /** Time between two looks, milliseconds; Infinity if there is nothing to look for. */
  readonly #interval: number

  /** @param relays that are open */
  constructor(
    private readonly timeouts: Timeouts,
    private readonly relays: () => Iterable<Relay>,
    private readonly events: TimeoutEvents,
  ) {
    const shortest = Math.min(timeouts.dialMs, timeouts.idleMs, timeouts.halfClosedMs)
    this.#interval =
      shortest === Infinity
        ? Infinity
        : Math.min(LONGEST_MS, Math.max(SHORTEST_MS, shortest / LOOKS))
  }

  /** A relay was opened. A port without relays has no timer: a process may have thousands of ports. */
  opened(): void {
    if (this.#interval === Infinity) return
    this.#timer ??= setInterval(() => this.#look(), this.#interval).unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
    this.#looks = undefined
  }

  #look(): void {
    const { dialMs, idleMs, halfClosedMs } = this.timeouts
    const looks = new Map<Relay, Look>()
    const late: (() => void)[] = []
    let isEmpty = true
    for (const relay of this.relays()) {
      isEmpty = false
      const isDialing = relay.dialMs === undefined
      const isHalfClosed = !isDialing && relay.isHalfClosed
      const openMs = isHalfClosed ? Math.min(idleMs, halfClosedMs) : idleMs
      const limit = isDialing ? dialMs : openMs
      if (limit === Infinity) continue
      const bytes = isDialing ? -1 : relay.bytesIn + relay.bytesOut
      const before = this.#looks?.get(relay)
      const isSame = before?.bytes === bytes && before.isHalfClosed === isHalfClosed
      // A relay that waits for its turn is not silent.
      const unchanged = isSame && !relay.isThrottled ? before.unchanged + 1 : 0
      looks.set(relay, { bytes, isHalfClosed, unchanged })
      if (unchanged * this.#interval < limit) continue
      late.push(() => (isDialing ? this.events.dialTimedOut(relay) : this.events.wentIdle(relay)))
    }
    if (isEmpty) return this.close()
    this.#looks = looks
    // Only now: the events change the relays.
    for (const report of late) report()
  }
}
