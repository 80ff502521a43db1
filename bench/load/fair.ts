import { fork } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'
import { percentile } from '../lib/statistics.js'

/*
 * A backend that sends bulk data and small answers from two processes, so that only the proxy can delay one for the
 * other; and a client that receives bulk data in one process, and sends small messages in another.
 *
 *     fair backend PORT            answers `bulk` with endless data, and everything else with an echo
 *     fair client PORT SECONDS     prints {"p50": µs, "p99": µs, "count": messages} of the small messages
 */

const SMALL_CONNECTIONS = 8

const BLOCK = Buffer.alloc(128 * 1024)
const [, program = '', mode, portText, seconds] = process.argv
const port = Number(portText)

function pour(socket: Socket): void {
  const write = (): void => {
    while (!socket.destroyed && socket.write(BLOCK));
  }
  socket.on('drain', write)
  write()
}

function serve(): void {
  const pourer = fork(program, ['pourer'])
  createServer({ noDelay: true }, (socket) => {
    socket.on('error', () => undefined)
    socket.once('data', (first: Buffer) => {
      if (first.toString() === 'bulk') return void pourer.send('bulk', socket)
      socket.write(first)
      socket.pipe(socket)
    })
  }).listen({ port, host: HOST, backlog: 4096 })
}

if (mode === 'backend') serve()
if (mode === 'pourer') {
  process.on('message', (_, socket) => {
    const bulk = socket as Socket
    bulk.on('error', () => undefined)
    pour(bulk)
  })
  process.on('disconnect', () => process.exit())
}
if (mode === 'bulk') {
  const socket = connect(port, HOST, () => {
    socket.write('bulk')
    socket.once('data', () => process.send?.('flowing'))
    socket.resume()
  })
  process.on('disconnect', () => process.exit())
}
if (mode === 'client') loadMain(() => measure(Number(seconds)))

async function measure(duration: number): Promise<void> {
  const bulk = fork(program, ['bulk', String(port)])
  bulk.once('exit', () => {
    throw new Error('the bulk stream ended')
  })
  await once(bulk, 'message')
  const sockets = Array.from({ length: SMALL_CONNECTIONS }, () =>
    connect({ port, host: HOST, noDelay: true }),
  )
  const times: number[] = []
  for (const end = performance.now() + duration * 1000; performance.now() < end;) {
    for (const socket of sockets) {
      const start = performance.now()
      socket.write('ping')
      await once(socket, 'data')
      times.push((performance.now() - start) * 1000)
    }
  }
  const [p50, p99] = [50, 99].map((percent) => percentile(times, percent))
  console.log(JSON.stringify({ p50, p99, count: times.length }))
  process.exit()
}
