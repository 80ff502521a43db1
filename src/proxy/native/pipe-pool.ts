import type { Syscalls } from '../../linux/ffi/syscalls.js'

/** A pipe for splice(2): the kernel moves pages through it, and no byte is copied to this process. */
export interface Pipe {
  readonly readEnd: number
  readonly writeEnd: number
  /** Bytes in the pipe. */
  buffered: number
}

/** Capacity of a pipe, bytes. */
const PIPE_SIZE = 512 * 1024
/** Empty pipes kept for later. */
const MAX_SPARE = 8

/** Pipes that are lent out while bulk data moves. */
export class PipePool {
  readonly #spare: Pipe[] = []
  #max: number | undefined
  #open = 0
  #borrowed = 0

  /** @param limit returns the maximum of open pipes, spare ones included; called with the first pipe, not at start-up */
  constructor(
    private readonly syscalls: Syscalls,
    private readonly limit: () => number,
  ) {}

  /** @returns an empty pipe; undefined if the limit is reached or no descriptors are left */
  borrow(): Pipe | undefined {
    this.#borrowed++
    const spare = this.#spare.pop()
    if (spare || this.#open >= (this.#max ??= this.limit())) return spare
    const ends = this.syscalls.pipe()
    if (!ends) return undefined
    const [readEnd, writeEnd] = ends
    // If the kernel refuses, the pipe keeps its small default size.
    this.syscalls.setPipeSize(writeEnd, PIPE_SIZE)
    this.#open++
    return { readEnd, writeEnd, buffered: 0 }
  }

  /** Takes a pipe back. A pipe that still holds data is closed. */
  giveBack(pipe: Pipe): void {
    if (pipe.buffered === 0 && this.#spare.length < MAX_SPARE) {
      this.#spare.push(pipe)
      return
    }
    this.#close(pipe)
  }

  /** Closes all spare pipes. */
  close(): void {
    for (const pipe of this.#spare.splice(0)) this.#close(pipe)
  }

  /** Pipes that are open, lent or spare. */
  get open(): number {
    return this.#open
  }

  /** How often a pipe was requested so far. */
  get borrowed(): number {
    return this.#borrowed
  }

  #close({ readEnd, writeEnd }: Pipe): void {
    this.syscalls.close(readEnd)
    this.syscalls.close(writeEnd)
    this.#open--
  }
}
