const WIDTH = 24

/** Shows progress and the remaining time: a bar on a terminal, otherwise a line for each scenario. */
export class Progress {
  readonly #started = performance.now()
  #done = 0
  #what = ''

  /**
   * @param total estimated time of everything, seconds; the remaining time is corrected by the accuracy so far
   * @param write writes to the output
   */
  constructor(
    private readonly total: number,
    private readonly isTerminal: boolean,
    private readonly write: (text: string) => void,
  ) {}

  /** Shows the next step. */
  start(what: string, index: number, count: number): void {
    this.#what = `${index} of ${count}: ${what}`
    if (!this.isTerminal) this.write(`${this.#what}${this.#timeLeft()}\n`)
  }

  /** @param detail in a few words */
  tell(detail: string): void {
    if (!this.isTerminal) return
    const filled = Math.min(WIDTH, Math.round((this.#done / this.total) * WIDTH))
    const bar = '█'.repeat(filled) + '░'.repeat(WIDTH - filled)
    const columns = process.stderr.columns || 80
    const left = this.#timeLeft()
    const text = `${bar} ${this.#what}, ${detail}`
    this.write(`\r\x1b[K${text.slice(0, Math.max(0, columns - 1 - left.length))}${left}`)
  }

  /** @param seconds the estimate of the step that is now done */
  advance(seconds: number): void {
    this.#done += seconds
  }

  /** Clears the terminal's line for other output. */
  clear(): void {
    if (this.isTerminal) this.write('\r\x1b[K')
  }

  #timeLeft(): string {
    const elapsed = (performance.now() - this.#started) / 1000
    const pace = this.#done > 0 ? elapsed / this.#done : 1
    return `, ${formatSeconds((this.total - this.#done) * pace)} left`
  }
}

export function formatSeconds(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds))
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`
}
