import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'
import { percentile } from '../lib/statistics.js'

/*
 * Sends HTTP requests at a fixed rate, whether or not earlier ones were answered, and measures how long each answer takes.
 *
 *     rate PORT SECONDS REQUESTS_PER_SECOND CONNECTIONS     prints {"p50": µs, "p90": …, "p99": …, "p99.9": …, "answered": …}
 */

const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\n\r\n'
const PERCENTS = [50, 90, 99, 99.9]
/** A request without an answer counts with this time. */
const LAST_ANSWERS_MS = 500

const [port = 0, seconds = 1, rate = 1, connections = 1] = process.argv.slice(2).map(Number)
const times: number[] = []

/** A connection on which answers come in the order of the requests. All answers have the same length. */
class Line {
  readonly #sent: number[] = []
  #answerLength = 0
  #received = 0

  constructor(private readonly socket: Socket) {
    socket.on('data', (data: Buffer) => this.#take(data))
  }

  request(): void {
    this.#sent.push(performance.now())
    this.socket.write(REQUEST)
  }

  /** The waiting times of requests that have no answer yet, microseconds. */
  waiting(): number[] {
    return this.#sent.map((sent) => (performance.now() - sent) * 1000)
  }

  #take(data: Buffer): void {
    this.#answerLength ||= answerLength(data.toString('latin1'))
    this.#received += data.length
    for (; this.#received >= this.#answerLength; this.#received -= this.#answerLength) {
      times.push((performance.now() - (this.#sent.shift() ?? NaN)) * 1000)
    }
  }
}

function answerLength(answer: string): number {
  const head = answer.indexOf('\r\n\r\n') + 4
  const body = Number(/^content-length: (\d+)/im.exec(answer)?.[1])
  if (head < 4 || Number.isNaN(body)) throw new Error('the backend answered something unexpected')
  return head + body
}

async function main(): Promise<void> {
  const sockets = Array.from({ length: connections }, () =>
    connect({ port, host: HOST, noDelay: true }),
  )
  await Promise.all(sockets.map((socket) => once(socket, 'connect')))
  const lines = sockets.map((socket) => new Line(socket))
  const start = performance.now()
  const total = Math.round(rate * seconds)
  let sent = 0
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const due = Math.min(total, Math.floor(((performance.now() - start) / 1000) * rate))
      for (; sent < due; sent++) lines[sent % lines.length]?.request()
      if (sent < total) return
      clearInterval(timer)
      done()
    }, 1)
  })
  const deadline = performance.now() + LAST_ANSWERS_MS
  while (times.length < total && performance.now() < deadline) {
    await new Promise((done) => setTimeout(done, 5))
  }
  const answered = times.length
  // Requests without an answer took at least this long.
  for (const line of lines) times.push(...line.waiting())
  const figures = PERCENTS.map((percent) => [`p${percent}`, percentile(times, percent)] as const)
  console.log(JSON.stringify({ ...Object.fromEntries(figures), answered }))
  process.exit()
}

loadMain(main)
