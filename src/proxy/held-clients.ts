/** A client that waits for a backend. */
interface HeldClient<Client> {
  readonly client: Client
  /** When it is refused, by performance.now(), milliseconds. */
  readonly until: number
}

/** Clients that were accepted while there was no backend, the oldest first. */
export class HeldClients<Client> {
  #clients: HeldClient<Client>[] = []
  #timer: NodeJS.Timeout | undefined

  /** @param refuse receives a client whose time is over */
  constructor(private readonly refuse: (client: Client) => void) {}

  /** @param holdMs the time that the client waits at most, milliseconds */
  add(client: Client, holdMs: number): void {
    this.#clients.push({ client, until: performance.now() + holdMs })
    this.#timer ??= setTimeout(this.#refuseLate, holdMs)
  }

  /** Takes all clients out. */
  takeAll(): Client[] {
    clearTimeout(this.#timer)
    this.#timer = undefined
    return this.#clients.splice(0).map(({ client }) => client)
  }

  readonly #refuseLate = (): void => {
    const now = performance.now()
    const late = this.#clients.filter(({ until }) => until <= now)
    this.#clients = this.#clients.filter(({ until }) => until > now)
    const next = Math.min(...this.#clients.map(({ until }) => until))
    this.#timer = Number.isFinite(next) ? setTimeout(this.#refuseLate, next - now) : undefined
    for (const { client } of late) this.refuse(client)
  }
}
