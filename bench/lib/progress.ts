const WIDTH = 24

/** How far the benchmark is and how long it will take yet: a bar on a terminal, a line for each scenario elsewhere. */
export class Progress {
  readonly #started = performance.now()
  #done = 0
  #what = ''

  /**
   * @param total how long all of it takes by estimate, seconds; the time left is told by how well that came true so far
   * @param write to where it goes
   */
  constructor(
    private readonly total: number,
    private readonly isTerminal: boolean,
    private readonly write: (text: string) => void,
  ) {}

  /** Tells what comes now. */
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

  /** @param seconds that were estimated for what is done now */
  advance(seconds: number): void {
    this.#done += seconds
  }

  /** Leaves the terminal's line to what is printed next. */
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
