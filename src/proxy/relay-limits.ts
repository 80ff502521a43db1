import { Bandwidth } from './bandwidth.js'
import type { PortOptions } from './port-options.js'

/** Places of the bandwidths and of TCP_USER_TIMEOUT among the numbers. */
const IN = 0
const OUT = 1
const USER_TIMEOUT = 2
/** Bytes of the times of both bandwidths, and of all numbers. */
const TIMES_LENGTH = 2 * BigInt64Array.BYTES_PER_ELEMENT
const LENGTH = TIMES_LENGTH + 3 * Int32Array.BYTES_PER_ELEMENT

/** Limits that the relays of a port follow. They may change at any time, and hold for the relays of all threads. */
export class RelayLimits {
  /** From clients. */
  readonly in: Bandwidth
  /** To clients. */
  readonly out: Bandwidth
  readonly #numbers: Int32Array

  /**
   * @param delay calls a function after a time, milliseconds
   * @param memory of the limits in another thread
   */
  constructor(
    delay: (milliseconds: number, callback: () => void) => void,
    readonly memory = new SharedArrayBuffer(LENGTH),
  ) {
    const rates = (this.#numbers = new Int32Array(memory, TIMES_LENGTH))
    const bandwidths = { rates, usedUntil: new BigInt64Array(memory, 0, 2) }
    this.in = new Bandwidth(bandwidths, IN, delay)
    this.out = new Bandwidth(bandwidths, OUT, delay)
  }

  /** Follows other options from now on. */
  follow(options: PortOptions): void {
    this.in.limit(options.maxBandwidthIn)
    this.out.limit(options.maxBandwidthOut)
    Atomics.store(this.#numbers, USER_TIMEOUT, userTimeoutOf(options))
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
