import { Bandwidth, BANDWIDTH_MEMORY_LENGTH, bandwidthMemory } from './bandwidth.js'
import type { PortOptions } from './port-options.js'

/** Place of a number in the memory: TCP_USER_TIMEOUT, milliseconds; 0 for the kernel's own limit. */
const USER_TIMEOUT = 0
/** Bytes before the bandwidths. */
const HEAD_LENGTH = 8
const LENGTH = HEAD_LENGTH + 2 * BANDWIDTH_MEMORY_LENGTH

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
    this.#numbers = new Int32Array(memory, 0, 1)
    this.in = new Bandwidth(bandwidthMemory(memory, HEAD_LENGTH), delay)
    this.out = new Bandwidth(bandwidthMemory(memory, HEAD_LENGTH + BANDWIDTH_MEMORY_LENGTH), delay)
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
