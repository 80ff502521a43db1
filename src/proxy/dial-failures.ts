import { errnoReason } from '../linux/errno.js'

/** Failures of this time count as recent, milliseconds. */
export const RECENT_MS = 300_000
/** Failures are counted in this many parts of that time, each of which is forgotten as a whole. */
const PARTS = 10

/** A proxy's report of failed dials. */
export interface DialFailureReport {
  /** Failed dials of the last five minutes. */
  readonly recentFailedDials: number
  /** The last failed dial; left out if there was none. */
  readonly lastFailedDial?: { readonly reason: string; readonly time: string }
}

/** The failed dials of one port. */
export class DialFailures {
  readonly #parts: { start: number; count: number }[] = []
  #last: { reason: string; time: string } | undefined

  note(err: Error, now = Date.now()): void {
    this.#last = { reason: errnoReason(err), time: new Date(now).toISOString() }
    const part = this.#parts.at(-1)
    if (part && now - part.start < RECENT_MS / PARTS) part.count++
    else this.#parts.push({ start: now, count: 1 })
    if (this.#parts.length > PARTS + 1) this.#parts.shift()
  }

  report(now = Date.now()): DialFailureReport {
    const recent = this.#parts.filter(({ start }) => now - start < RECENT_MS)
    return {
      recentFailedDials: recent.reduce((sum, { count }) => sum + count, 0),
      ...(this.#last === undefined ? {} : { lastFailedDial: this.#last }),
    }
  }
}
