import { connect } from 'node:net'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'
import { percentile } from '../lib/statistics.js'

/*
 * Opens connections at once, and measures how long each waits for its first answer.
 *
 *     first-answer PORT CONNECTIONS     prints {"p50": µs, "p99": µs}
 */

const REQUEST = 'GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n'
const [port = 0, connections = 1] = process.argv.slice(2).map(Number)

function firstAnswer(): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const socket = connect({ port, host: HOST, noDelay: true }, () => socket.write(REQUEST))
    socket.once('data', () => {
      resolve((performance.now() - start) * 1000)
      socket.destroy()
    })
    socket.once('error', reject)
    socket.once('end', () => reject(new Error('a new client was dropped')))
  })
}

loadMain(async () => {
  const times = await Promise.all(Array.from({ length: connections }, firstAnswer))
  console.log(JSON.stringify({ p50: percentile(times, 50), p99: percentile(times, 99) }))
})
