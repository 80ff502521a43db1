import type { Relay } from './transport.js'

/** A relay is looked at so many times in its time. */
const LOOKS = 8
/** Time between two looks at least, and at most, milliseconds. */
const SHORTEST_MS = 50
const LONGEST_MS = 60_000

export interface Timeouts {
  /** How long a backend may take to accept, milliseconds; Infinity for no limit. */
  readonly dialMs: number
  /** How long no byte may move, milliseconds; Infinity for no limit. */
  readonly idleMs: number
}

export interface TimeoutEvents {
  /** The backend takes too long to accept. */
  dialTimedOut(relay: Relay): void
  wentIdle(relay: Relay): void
}

/** The state of a relay at an earlier look. */
interface Look {
  readonly bytes: number
  /** When it was first seen in this state, by performance.now(), milliseconds. */
  readonly since: number
}

/**
 * Finds relays that dial or say nothing for too long. It looks at all of them from time to time, so that a connection that lives for a moment
 * costs nothing. A time may be exceeded by an eighth.
 */
export class RelayTimeouts {
  #looks = new Map<Relay, Look>()
  #timer: NodeJS.Timeout | undefined

  /** @param relays that are open */
  constructor(
    private readonly timeouts: Timeouts,
    private readonly relays: () => Iterable<Relay>,
    private readonly events: TimeoutEvents,
  ) {
    const shortest = Math.min(timeouts.dialMs, timeouts.idleMs)
    if (shortest === Infinity) return
    const interval = Math.min(LONGEST_MS, Math.max(SHORTEST_MS, shortest / LOOKS))
    this.#timer = setInterval(() => this.#look(), interval).unref()
  }

  close(): void {
    clearInterval(this.#timer)
    this.#looks.clear()
  }

  #look(): void {
    const { dialMs, idleMs } = this.timeouts
    const now = performance.now()
    const looks = new Map<Relay, Look>()
    const late: (() => void)[] = []
    for (const relay of this.relays()) {
      const isDialing = relay.dialMs === undefined
      if (!isDialing && idleMs === Infinity) continue
      const limit = isDialing ? dialMs : idleMs
      const bytes = isDialing ? -1 : relay.bytesIn + relay.bytesOut
      const before = this.#looks.get(relay)
      const look = before?.bytes === bytes ? before : { bytes, since: now }
      looks.set(relay, look)
      if (now - look.since < limit) continue
      late.push(() => (isDialing ? this.events.dialTimedOut(relay) : this.events.wentIdle(relay)))
    }
    this.#looks = looks
    // Only now: the events change the relays.
    for (const report of late) report()
  }
}
