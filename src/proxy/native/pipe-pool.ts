import type { Calls } from '../../linux/calls.js'

/** What splice(2) brings data through: the kernel passes pages, and no byte is copied to this process. */
export interface Pipe {
  readonly readEnd: number
  readonly writeEnd: number
  /** Bytes in it. */
  held: number
}

/** Room in a pipe, bytes. */
const PIPE_SIZE = 512 * 1024
/** Empty pipes kept for the next who needs one. */
const MAX_SPARE = 8

/** Pipes, lent out while a bulk transfer moves. */
export class PipePool {
  readonly #spare: Pipe[] = []
  #max: number | undefined
  #open = 0
  #taken = 0

  /** @param limit pipes open at most, spare ones among them; asked for with the first pipe, not at start-up */
  constructor(
    private readonly calls: Calls,
    private readonly limit: () => number,
  ) {}

  /** An empty pipe; undefined when there are too many, or no descriptors for it. */
  take(): Pipe | undefined {
    this.#taken++
    const spare = this.#spare.pop()
    if (spare || this.#open >= (this.#max ??= this.limit())) return spare
    const ends = this.calls.pipe()
    if (!ends) return undefined
    const [readEnd, writeEnd] = ends
    // Where it is refused, the pipe is a small one.
    this.calls.setPipeSize(writeEnd, PIPE_SIZE)
    this.#open++
    return { readEnd, writeEnd, held: 0 }
  }

  /** Takes a pipe back; one that still holds data is of no use to another. */
  give(pipe: Pipe): void {
    if (pipe.held === 0 && this.#spare.length < MAX_SPARE) {
      this.#spare.push(pipe)
      return
    }
    this.#close(pipe)
  }

  /** Closes the pipes that nobody has. */
  close(): void {
    for (const pipe of this.#spare.splice(0)) this.#close(pipe)
  }

  /** Pipes open now. */
  get open(): number {
    return this.#open
  }

  /** How often one was asked for so far. */
  get taken(): number {
    return this.#taken
  }

  #close({ readEnd, writeEnd }: Pipe): void {
    this.calls.close(readEnd)
    this.calls.close(writeEnd)
    this.#open--
  }
}
