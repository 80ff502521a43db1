import { connect } from 'node:net'
import type { Test } from 'tap'
import type { HostPort } from './many-ports.js'
import { until } from './until.js'

const CLIENTS = 8

/** Clients that connect to ports in turn, one connection after another, and expect an echo. */
export class Load {
  answered = 0
  /** Connections that were refused. */
  refused = 0
  /** Connections that ended before the whole answer had come. */
  cut = 0
  #isOver = false
  readonly #clients: Promise<void>[]

  private constructor(private readonly ports: readonly HostPort[]) {
    this.#clients = Array.from({ length: CLIENTS }, (_, i) => this.#connectInTurn(i))
  }

  /** @param ports of an echo server */
  static start(t: Test, ports: readonly HostPort[]): Load {
    const load = new Load(ports)
    t.teardown(() => load.stop())
    return load
  }

  /** Waits for this many more answers; by default for one from each port. */
  async goOn(more = this.ports.length): Promise<void> {
    const goal = this.answered + more
    await until(() => this.answered >= goal)
  }

  async stop(): Promise<void> {
    this.#isOver = true
    await Promise.all(this.#clients)
  }

  async #connectInTurn(first: number): Promise<void> {
    for (let turn = first; !this.#isOver; turn += CLIENTS) {
      const port = this.ports[turn % this.ports.length]
      if (port) await this.#connect(port, `connection ${turn}`)
    }
  }

  async #connect({ ip, port }: HostPort, text: string): Promise<void> {
    const socket = connect({ host: ip, port, allowHalfOpen: true })
    let answer = ''
    socket.on('data', (data) => (answer += data.toString()))
    let code: string | undefined
    socket.on('error', (err: NodeJS.ErrnoException) => (code = err.code))
    socket.on('end', () => socket.destroy())
    socket.end(text)
    await new Promise((resolve) => socket.once('close', resolve))
    if (answer === text) this.answered++
    else if (code === 'ECONNREFUSED') this.refused++
    else this.cut++
  }
}
