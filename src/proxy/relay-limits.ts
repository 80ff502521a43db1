import { Bandwidth } from './bandwidth.js'
import type { PortOptions } from './port-options.js'
import type { Pauses } from './transport.js'

/** Places of the bandwidths and of TCP_USER_TIMEOUT among the numbers. */
const IN = 0
const OUT = 1
const USER_TIMEOUT = 2
/** Place of the pauses of both directions. */
const PAUSES = 3
/** Bytes of the times of both bandwidths, and of all numbers. */
const TIMES_LENGTH = 2 * BigInt64Array.BYTES_PER_ELEMENT
const LENGTH = TIMES_LENGTH + 5 * Int32Array.BYTES_PER_ELEMENT

/** Limits that the relays of a port follow, and their pauses. The limits may change at any time, and hold for the relays of all threads. */
export class RelayLimits {
  /** From clients. */
  readonly in: Bandwidth
  /** To clients. */
  readonly out: Bandwidth
  readonly #numbers: Int32Array
  readonly #pauses: Int32Array

  /**
   * @param delay calls a function after a time, milliseconds
   * @param memory of the limits in another thread
   */
  constructor(
    delay: (milliseconds: number, callback: () => void) => void,
    readonly memory = new SharedArrayBuffer(LENGTH),
  ) {
    const rates = (this.#numbers = new Int32Array(memory, TIMES_LENGTH))
    const pauses = (this.#pauses = rates.subarray(PAUSES))
    const bandwidths = { rates, pauses, usedUntil: new BigInt64Array(memory, 0, 2) }
    this.in = new Bandwidth(bandwidths, IN, delay)
    this.out = new Bandwidth(bandwidths, OUT, delay)
  }

  /** Follows other options from now on. */
  follow(options: PortOptions): void {
    this.in.limit(options.maxBandwidthIn)
    this.out.limit(options.maxBandwidthOut)
    Atomics.store(this.#numbers, USER_TIMEOUT, userTimeoutOf(options))
  }

  /** See Transport.pauses. After 2^32 they begin again at 0. */
  get pauses(): Pauses {
    const count = (place: number): number => Atomics.load(this.#pauses, place) >>> 0
    return { pausedIn: count(IN), pausedOut: count(OUT) }
  }

  /** TCP_USER_TIMEOUT for new connections, milliseconds; 0 for the kernel's own limit. */
  get userTimeoutMs(): number {
    return Atomics.load(this.#numbers, USER_TIMEOUT)
  }
}

/** The value of TCP_USER_TIMEOUT, milliseconds, see tcp(7). */
export function userTimeoutOf({ tcpUserTimeoutMs }: PortOptions): number {
  return tcpUserTimeoutMs === Infinity ? 0 : tcpUserTimeoutMs
}
