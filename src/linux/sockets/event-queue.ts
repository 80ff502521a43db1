/** Events of one turn. */
const TURN = 32
/** So many places are free before the others are moved. */
const MOVE_AFTER = 1_024

/**
 * Descriptors with events that wait to be handled, of one published port for example. Queues take turns, so that none waits for all events
 * of another one.
 */
export class EventQueue {
  /** Places from `#first` to before `#end` are in use. The array is kept, because events come and go all the time. */
  readonly #fds: number[] = []
  #first = 0
  #end = 0

  /** @param turn events that are handled before the next queue gets its turn */
  constructor(readonly turn = TURN) {}

  /** Places of the array, for tests. */
  get places(): number {
    return this.#fds.length
  }

  get isEmpty(): boolean {
    return this.#end === 0
  }

  add(fd: number): void {
    this.#fds[this.#end++] = fd
  }

  /** Takes the descriptor that has waited longest. The queue must not be empty. */
  take(): number {
    const fd = this.#fds[this.#first++] ?? -1
    if (this.#first === this.#end) this.#first = this.#end = 0
    else if (this.#first >= MOVE_AFTER && 2 * this.#first >= this.#end) this.#moveToFront()
    return fd
  }

  /** A queue that is never empty would grow without end. */
  #moveToFront(): void {
    this.#fds.copyWithin(0, this.#first, this.#end)
    this.#end -= this.#first
    this.#first = 0
    this.#fds.length = this.#end
  }
}
