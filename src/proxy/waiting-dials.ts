/** A dial waits for a local port for at most this time, milliseconds. */
export const DIAL_WAIT_MS = 3_000
/** Time between two turns, milliseconds. */
const TURN_MS = 50
/** Dials of one turn. Each may be a long search of the kernel. */
const DIALS_PER_TURN = 8

/** Dials of one backend that found no local port. They are tried again in turns, the oldest ones first. */
export class WaitingDials {
  readonly #dials: (() => void)[] = []

  /** @param delay calls a function after this time, milliseconds */
  constructor(private readonly delay: (milliseconds: number, callback: () => void) => void) {}

  /** @param dialAgain must not throw; adds itself again if it fails */
  add(dialAgain: () => void): void {
    if (this.#dials.push(dialAgain) === 1) this.delay(TURN_MS, this.#takeTurn)
  }

  readonly #takeTurn = (): void => {
    const dials = this.#dials.splice(0, DIALS_PER_TURN)
    if (this.#dials.length > 0) this.delay(TURN_MS, this.#takeTurn)
    for (const dialAgain of dials) dialAgain()
  }
}
