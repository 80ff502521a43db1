/** A dial waits for a local port for at most this time, milliseconds. */
export const DIAL_WAIT_MS = 3_000
/** Time between two turns, milliseconds. */
const TURN_MS = 50
/** Dials of one turn. Each may be a long search of the kernel. */
const DIALS_PER_TURN = 8

/** A dial that found no local port. */
export interface WaitingDial {
  /** When it gives up, by performance.now(), milliseconds. */
  readonly until: number
  /** Must not throw. May add a new dial. */
  dialAgain(): void
  /** The time is over. Must not throw. */
  giveUp(): void
}

/** Dials of one backend that found no local port. They are tried again in turns, the oldest ones first. */
export class WaitingDials {
  #dials: WaitingDial[] = []

  /** @param delay calls a function after this time, milliseconds */
  constructor(private readonly delay: (milliseconds: number, callback: () => void) => void) {}

  add(dial: WaitingDial): void {
    if (this.#dials.push(dial) === 1) this.delay(TURN_MS, this.#takeTurn)
  }

  readonly #takeTurn = (): void => {
    const now = performance.now()
    const late = this.#dials.filter(({ until }) => until <= now)
    const waiting = this.#dials.filter(({ until }) => until > now)
    const turn = waiting.splice(0, DIALS_PER_TURN)
    this.#dials = waiting
    if (waiting.length > 0) this.delay(TURN_MS, this.#takeTurn)
    for (const dial of late) dial.giveUp()
    for (const dial of turn) dial.dialAgain()
  }
}
