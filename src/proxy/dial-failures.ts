import { errnoReason } from '../linux/errno.js'

/** Failures of this time count as recent, milliseconds. */
export const RECENT_MS = 300_000
/** Failures are counted in this many parts of that time, each of which is forgotten as a whole. */
const PARTS = 10
/** Reasons that are counted apart. There are few, but some contain texts of the system. */
const MAX_REASONS = 16
const OTHER_REASON = 'other'

/** A proxy's report of failed dials. */
export interface DialFailureReport {
  /** Failed dials of the last five minutes. */
  readonly recentFailedDials: number
  /** The last failed dial; left out if there was none. */
  readonly lastFailedDial?: { readonly reason: string; readonly time: string }
  /** All failed dials, by reason; left out if there was none. */
  readonly failedDialReasons?: Readonly<Record<string, number>>
}

/** The failed dials of one port. */
export class DialFailures {
  readonly #parts: { start: number; count: number }[] = []
  readonly #reasons = new Map<string, number>()
  #last: { reason: string; time: string } | undefined

  note(err: Error, now = Date.now()): void {
    const reason = errnoReason(err)
    this.#last = { reason, time: new Date(now).toISOString() }
    const isKnown = this.#reasons.has(reason) || this.#reasons.size < MAX_REASONS
    const counted = isKnown ? reason : OTHER_REASON
    this.#reasons.set(counted, (this.#reasons.get(counted) ?? 0) + 1)
    const part = this.#parts.at(-1)
    if (part && now - part.start < RECENT_MS / PARTS) part.count++
    else this.#parts.push({ start: now, count: 1 })
    if (this.#parts.length > PARTS + 1) this.#parts.shift()
  }

  report(now = Date.now()): DialFailureReport {
    const recent = this.#parts.filter(({ start }) => now - start < RECENT_MS)
    return {
      recentFailedDials: recent.reduce((sum, { count }) => sum + count, 0),
      ...(this.#last === undefined
        ? {}
        : { lastFailedDial: this.#last, failedDialReasons: Object.fromEntries(this.#reasons) }),
    }
  }
}
