/** Time between two attempts, milliseconds. */
export const RETRY_MS = 500

/** Launchers whose ports could not be published yet. Each attempt is repeated until the launcher is removed. */
export class RetryQueue {
  /** Whether the launcher waited before this docker-proxyd started, by process id. */
  readonly #wasWaiting = new Map<number, boolean>()
  #timer: NodeJS.Timeout | undefined

  /** @param retry called for each launcher; the launcher stays in the queue until it is removed */
  constructor(private readonly retry: (pid: number, wasWaiting: boolean) => void) {}

  get isEmpty(): boolean {
    return this.#wasWaiting.size === 0
  }

  has(pid: number): boolean {
    return this.#wasWaiting.has(pid)
  }

  /** Whether the launcher is in the queue, and waited before this docker-proxyd started. */
  hasWaiting(pid: number): boolean {
    return this.#wasWaiting.get(pid) ?? false
  }

  /** Schedules one attempt. @returns whether the launcher was not in the queue before */
  add(pid: number, wasWaiting: boolean): boolean {
    const isNew = !this.has(pid)
    this.#wasWaiting.set(pid, wasWaiting)
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      for (const [each, waited] of [...this.#wasWaiting]) this.retry(each, waited)
    }, RETRY_MS)
    return isNew
  }

  /** @returns whether the launcher was in the queue */
  remove(pid: number): boolean {
    return this.#wasWaiting.delete(pid)
  }

  /** Ends all attempts. */
  close(): void {
    clearTimeout(this.#timer)
  }
}
