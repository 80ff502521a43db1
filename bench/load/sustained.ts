import { connect } from 'node:net'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'

/*
 * Opens connections without a pause. Each sends a request. After the answer, either the client or the server ends first.
 *
 *     sustained client|server PORT SECONDS AT_ONCE     prints {"first": connections/s, "last": …, "failed": connections}
 *
 * `first` and `last` are the rates of the first and the last sixth of the time.
 */

const PARTS = 6
/** A proxy without a free local port drops connections as fast as they come. */
const PAUSE_AFTER_FAILURE_MS = 10

const [endsFirst, ...numbers] = process.argv.slice(2)
const [port = 0, seconds = 1, atOnce = 1] = numbers.map(Number)
const clientEnds = endsFirst === 'client'
const request = `GET / HTTP/1.1\r\nHost: bench\r\nConnection: ${clientEnds ? 'keep-alive' : 'close'}\r\n\r\n`
const answered = Array<number>(PARTS).fill(0)
let failed = 0

/** @returns whether it was answered */
function exchange(): Promise<boolean> {
  return new Promise((resolve) => {
    let isAnswered = false
    const socket = connect({ port, host: HOST, noDelay: true }, () => socket.write(request))
    socket.once('data', () => {
      isAnswered = true
      if (clientEnds) socket.end()
    })
    socket.on('error', () => undefined)
    socket.once('close', () => resolve(isAnswered))
    socket.resume()
  })
}

loadMain(async () => {
  const start = performance.now()
  const part = (): number => Math.floor(((performance.now() - start) / 1000 / seconds) * PARTS)
  const client = async (): Promise<void> => {
    while (part() < PARTS) {
      const isAnswered = await exchange()
      const now = part()
      if (isAnswered && now < PARTS) answered[now] = (answered[now] ?? 0) + 1
      if (isAnswered) continue
      failed++
      await new Promise((resolve) => setTimeout(resolve, PAUSE_AFTER_FAILURE_MS))
    }
  }
  const clients = Array.from({ length: atOnce }, client)
  // A connection may hang: the result is what was reached in time.
  await Promise.race([
    Promise.all(clients),
    new Promise((resolve) => setTimeout(resolve, seconds * 1000 + 500)),
  ])
  const rate = (count = 0): number => count / (seconds / PARTS)
  console.log(JSON.stringify({ first: rate(answered[0]), last: rate(answered.at(-1)), failed }))
  process.exit()
})
