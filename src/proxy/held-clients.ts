/** A connection that was accepted. */
export interface AcceptedClient<Client> {
  readonly client: Client
  /** By performance.now(), milliseconds. */
  readonly acceptedAt: number
}

/** Time between two turns of dials, milliseconds. */
const TURN_MS = 50

/** What happens to held clients. No function may throw. */
export interface HeldClientActions<Held> {
  /** Whether there is a backend to dial. */
  isServed(): boolean
  /** Dials for a client. If the dial fails, the client is held again. */
  serve(held: Held): void
  /** The time of a client is over. */
  refuse(held: Held): void
}

/**
 * Clients that wait until a backend answers, those first that were accepted first. While dials fail, one client tries in each turn; then
 * twice as many in each, so that a container that has just started is not flooded.
 */
export class HeldClients<Held extends AcceptedClient<unknown>> {
  #clients: Held[] = []
  #timer: NodeJS.Timeout | undefined
  #turn = 1
  #hasFailed = false

  /** @param holdMs time that a client waits at most, milliseconds */
  constructor(
    private readonly actions: HeldClientActions<Held>,
    private readonly holdMs: () => number,
  ) {}

  add(held: Held): void {
    this.#hasFailed = true
    this.#clients.push(held)
    this.#timer ??= setTimeout(this.#takeTurn, TURN_MS)
  }

  /** Takes all clients out. */
  takeAll(): Held[] {
    clearTimeout(this.#timer)
    this.#timer = undefined
    return this.#clients.splice(0)
  }

  readonly #takeTurn = (): void => {
    this.#timer = undefined
    const now = performance.now()
    const limit = now - this.holdMs()
    const late = this.#clients.filter(({ acceptedAt }) => acceptedAt <= limit)
    this.#clients = this.#clients.filter(({ acceptedAt }) => acceptedAt > limit)
    this.#turn = this.#hasFailed ? 1 : this.#turn * 2
    this.#hasFailed = false
    const turn = this.actions.isServed() ? this.#clients.splice(0, this.#turn) : []
    for (const each of late) this.actions.refuse(each)
    for (const each of turn) this.actions.serve(each)
    if (this.#clients.length > 0) this.#timer ??= setTimeout(this.#takeTurn, TURN_MS)
  }
}
