const WIDTH = 24

/** How progress is shown: as a bar that moves, as a line for each scenario, or also one for each measurement. */
export type ProgressStyle = 'bar' | 'scenarios' | 'measurements'

/** Shows progress and the remaining time. */
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
    private readonly style: ProgressStyle,
    private readonly write: (text: string) => void,
  ) {}

  /** Shows the next step. */
  start(what: string, index: number, count: number): void {
    this.#what = `${index} of ${count}: ${what}`
    if (this.style !== 'bar') this.write(`${this.#what}${this.#timeLeft()}\n`)
  }

  /** @param detail in a few words */
  tell(detail: string): void {
    if (this.style === 'measurements') this.write(`${this.#what}, ${detail}\n`)
    if (this.style !== 'bar') return
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
    if (this.style === 'bar') this.write('\r\x1b[K')
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
