import { ephemeralPorts, reservedPorts, type PortRange } from '../linux/proc/ephemeral-ports.js'
import { isExact, type RequestGroup } from './request-groups.js'

/** The host ports that the groups of one request may get, in the order in which they are tried. */
export class PortChoice {
  readonly #range = ephemeralPorts()
  readonly #isReserved = reservedPorts()
  /** The port that the last group with any port got. */
  #last: number
  /** Where the search for a group like an earlier one continues: everything before was taken. */
  readonly #next = new Map<string, number>()

  /** @param last the port that the last request for any port got */
  constructor(last: number) {
    this.#last = last
  }

  /** The ports for a group. Any port: round-robin through the kernel's range, after the port that was given last. */
  *candidates(group: RequestGroup): Generator<number> {
    const { hostPorts } = group
    if (!hostPorts) {
      yield* this.#anyPorts()
      return
    }
    if (isExact(group)) {
      yield hostPorts.first
      return
    }
    const key = keyOf(group, hostPorts)
    for (let port = this.#next.get(key) ?? hostPorts.first; port <= hostPorts.last; port++) {
      this.#next.set(key, port + 1)
      yield port
    }
  }

  /** Notes that a group got a port. */
  took({ hostPorts }: RequestGroup, port: number): void {
    if (!hostPorts) this.#last = port
  }

  *#anyPorts(): Generator<number> {
    const { first, last } = this.#range
    const continues = this.#last >= first && this.#last < last
    const start = continues ? this.#last + 1 : first
    for (let port = start; port <= last; port++) if (!this.#isReserved(port)) yield port
    for (let port = first; port < start; port++) if (!this.#isReserved(port)) yield port
  }
}

/** Groups with the same first port and the same addresses try the same ports. */
function keyOf({ protocol, addresses }: RequestGroup, { first }: PortRange): string {
  return `${first}/${protocol} ${addresses.map(({ ip }) => ip).join(' ')}`
}
