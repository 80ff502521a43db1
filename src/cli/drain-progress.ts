import type { Client } from '../api/client.js'
import { formatDuration } from '../duration.js'

/** Time between two looks at the connections, milliseconds. */
const INTERVAL_MS = 1_000

/** A line on a terminal while connections end by themselves: `14 connections are still open, and are cut in 23 seconds`. */
export class DrainProgress {
  readonly #timer: NodeJS.Timeout | undefined
  readonly #deadline: number
  #isShown = false
  #isEnded = false

  /**
   * @param names of the publications
   * @param drainMs time that the connections have, milliseconds
   */
  constructor(
    client: Pick<Client, 'list'>,
    names: ReadonlySet<string>,
    drainMs: number,
    private readonly stream: Pick<NodeJS.WriteStream, 'isTTY' | 'write'> = process.stderr,
  ) {
    this.#deadline = performance.now() + drainMs
    if (!stream.isTTY) return
    this.#timer = setInterval(() => {
      client.list().then(
        (publications) => {
          const own = publications.filter(({ name }) => names.has(name))
          const ports = own.flatMap((publication) => publication.ports)
          this.#show(ports.reduce((sum, { connections }) => sum + connections, 0))
        },
        // The command itself reports a daemon that does not answer.
        () => undefined,
      )
    }, INTERVAL_MS).unref()
  }

  #show(connections: number): void {
    if (connections === 0 || this.#isEnded) return
    const left = formatDuration(this.#deadline - performance.now()).toLowerCase()
    const what =
      connections === 1 ? 'connection is still open, and is' : 'connections are still open, and are'
    this.stream.write(`\r\x1b[K${connections} ${what} cut in ${left}`)
    this.#isShown = true
  }

  /** Removes the line, before others are written. */
  clear(): void {
    if (this.#isShown) this.stream.write('\r\x1b[K')
    this.#isShown = false
  }

  end(): void {
    this.#isEnded = true
    clearInterval(this.#timer)
    this.clear()
  }
}
