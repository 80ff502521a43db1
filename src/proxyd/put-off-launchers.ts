/** When what could not be done for a launcher is tried again, milliseconds. */
export const RETRY_MS = 500

/** Launchers for which something could not be done yet, and is tried again. */
export class PutOffLaunchers {
  /** Whether they were there before us, by process id. */
  readonly #found = new Map<number, boolean>()
  #retry: NodeJS.Timeout | undefined

  /** @param tryAgain called for each of them; it stays among them until it is removed */
  constructor(private readonly tryAgain: (pid: number, isFound: boolean) => void) {}

  has(pid: number): boolean {
    return this.#found.has(pid)
  }

  /** Whether it is among them, and was there before us. */
  isFound(pid: number): boolean {
    return this.#found.get(pid) ?? false
  }

  /** It is tried again, once. @returns whether it was not among them yet */
  add(pid: number, isFound: boolean): boolean {
    const isNew = !this.has(pid)
    this.#found.set(pid, isFound)
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined
      for (const [each, wasFound] of [...this.#found]) this.tryAgain(each, wasFound)
    }, RETRY_MS)
    return isNew
  }

  /** @returns whether it was among them */
  remove(pid: number): boolean {
    return this.#found.delete(pid)
  }

  /** Tries no more. */
  close(): void {
    clearTimeout(this.#retry)
  }
}
