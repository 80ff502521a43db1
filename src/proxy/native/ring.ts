import type { Calls } from '../../linux/calls.js'

/** Places in the shared memory's head: how many numbers were sent so far, and whether the bell rings already. */
const SENT = 0
const RUNG = 1
const HEAD = 2

/** What both ends of a ring are given. */
export interface RingMemory {
  readonly numbers: SharedArrayBuffer
  /** An eventfd, which wakes the receiver. */
  readonly bell: number
}

/** @param capacity numbers under way at most, a power of two; the sender sees to it */
export function ringMemory(capacity: number, bell: number): RingMemory {
  return {
    numbers: new SharedArrayBuffer((HEAD + capacity) * Int32Array.BYTES_PER_ELEMENT),
    bell,
  }
}

/** Numbers from one thread to another, in order. A number costs no system call while the other is awake to take it. */
export class Ring {
  readonly bell: number
  readonly #numbers: Int32Array
  readonly #mask: number
  /** Of the sender those sent, of the receiver those taken. */
  #count = 0

  constructor(
    private readonly calls: Calls,
    { numbers, bell }: RingMemory,
  ) {
    this.bell = bell
    this.#numbers = new Int32Array(numbers)
    this.#mask = this.#numbers.length - HEAD - 1
  }

  send(number: number): void {
    this.#numbers[HEAD + (this.#count & this.#mask)] = number
    this.#count = (this.#count + 1) | 0
    Atomics.store(this.#numbers, SENT, this.#count)
    if (Atomics.exchange(this.#numbers, RUNG, 1) === 0) this.calls.wake(this.bell)
  }

  /** Takes all that was sent; to be called when the bell has rung. */
  receive(take: (number: number) => void): void {
    // First, so that what comes from now on rings again.
    Atomics.store(this.#numbers, RUNG, 0)
    while (this.#count !== Atomics.load(this.#numbers, SENT)) {
      const number = this.#numbers[HEAD + (this.#count & this.#mask)] ?? 0
      this.#count = (this.#count + 1) | 0
      take(number)
    }
  }
}
