import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { Backend } from './backend.js'

/** What a proxy forwards to at present. */
export interface Backends {
  /** New clients are shared among these addresses in turn. Without an address no client gets through. */
  readonly addresses: readonly SocketAddress[]
  /** Time that a new client waits while there is no address, milliseconds; 0 for a client that is refused at once. */
  readonly holdMs: number
}

/** The number of earlier backends that are kept. */
const MAX_EARLIER = 16

/** The backends of a proxy, which take turns. */
export class BackendTurns {
  #backends: readonly Backend[] = []
  /** Backends that have left, the latest first: a container often comes back to its address. */
  #earlier: readonly Backend[] = []
  #turn = 0

  constructor(addresses: readonly SocketAddress[]) {
    this.replace(addresses)
  }

  /** The backend of the next client; undefined while there is none. */
  next(): Backend | undefined {
    const { length } = this.#backends
    return length === 0 ? undefined : this.#backends[this.#turn++ % length]
  }

  get isSome(): boolean {
    return this.#backends.length > 0
  }

  /** Whether a backend still takes clients. */
  has(backend: Backend): boolean {
    return this.#backends.includes(backend)
  }

  /** An address that stays keeps its Backend, and with it everything that an engine has prepared for it. */
  replace(addresses: readonly SocketAddress[]): void {
    const known = [...this.#backends, ...this.#earlier]
    this.#backends = addresses.map(
      ({ ip, port }) =>
        known.find(({ address }) => address.ip === ip && address.port === port) ??
        new Backend({ ip, port }),
    )
    this.#earlier = known.filter((each) => !this.#backends.includes(each)).slice(0, MAX_EARLIER)
  }
}
