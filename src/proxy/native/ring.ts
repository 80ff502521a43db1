import type { Syscalls } from '../../linux/ffi/syscalls.js'

/** Index in the shared memory: how many numbers were sent so far. */
const SENT = 0
/** Index in the shared memory: 1 if the eventfd is already signalled. */
const SIGNALLED = 1
/** Numbers before the ring itself. */
const HEAD = 2

/** The memory that both ends of a ring share. */
export interface RingMemory {
  readonly numbers: SharedArrayBuffer
  /** Wakes the receiver. */
  readonly eventFd: number
}

/** @param capacity numbers under way at most, a power of two; the sender has to respect it */
export function ringMemory(capacity: number, eventFd: number): RingMemory {
  return {
    numbers: new SharedArrayBuffer((HEAD + capacity) * Int32Array.BYTES_PER_ELEMENT),
    eventFd,
  }
}

/** Sends numbers from one thread to another, in order. No system call is needed while the receiver is awake. */
export class Ring {
  readonly eventFd: number
  readonly #numbers: Int32Array
  readonly #mask: number
  /** Numbers sent, at the sender; numbers taken, at the receiver. */
  #count = 0

  constructor(
    private readonly syscalls: Syscalls,
    { numbers, eventFd }: RingMemory,
  ) {
    this.eventFd = eventFd
    this.#numbers = new Int32Array(numbers)
    this.#mask = this.#numbers.length - HEAD - 1
  }

  send(number: number): void {
    this.#numbers[HEAD + (this.#count & this.#mask)] = number
    this.#count = (this.#count + 1) | 0
    Atomics.store(this.#numbers, SENT, this.#count)
    if (Atomics.exchange(this.#numbers, SIGNALLED, 1) === 0) {
      this.syscalls.signalEventFd(this.eventFd)
    }
  }

  /** Takes all numbers that were sent. Call it when the eventfd is signalled. */
  receive(take: (number: number) => void): void {
    // Cleared first, so that a number sent from now on signals again.
    Atomics.store(this.#numbers, SIGNALLED, 0)
    while (this.#count !== Atomics.load(this.#numbers, SENT)) {
      const number = this.#numbers[HEAD + (this.#count & this.#mask)] ?? 0
      this.#count = (this.#count + 1) | 0
      take(number)
    }
  }
}
