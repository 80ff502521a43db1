import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'

/*
 * Opens connections, sends one message on each, and then leaves them idle.
 *
 *     idle PORT
 *
 * Each line on stdin is the number of connections to have. The line is printed when they are open.
 */

const WORD = 'x'
const AT_A_TIME = 100
/** A message without an answer after this time was not forwarded, milliseconds. */
const ANSWER_MS = 5_000
const port = Number(process.argv[2])

async function open(): Promise<void> {
  const socket = connect({ port, host: HOST, noDelay: true })
  // An echo proves that the connection reaches the backend.
  socket.write(WORD)
  const [echo] = (await once(socket, 'data', { signal: AbortSignal.timeout(ANSWER_MS) })) as [
    Buffer,
  ]
  if (echo.toString() !== WORD) throw new Error(`it answered ${JSON.stringify(echo.toString())}`)
  socket.on('error', () => undefined)
  socket.on('close', () => {
    throw new Error('an idle connection was closed')
  })
}

async function main(): Promise<void> {
  let count = 0
  for await (const line of createInterface({ input: process.stdin })) {
    while (count < Number(line)) {
      const batch = Math.min(AT_A_TIME, Number(line) - count)
      await Promise.all(Array.from({ length: batch }, open))
      count += batch
    }
    console.log(line)
  }
  process.exit()
}

loadMain(main)
