import { once } from 'node:events'
import { connect } from 'node:net'
import { HOST } from '../lib/load-host.js'
import { loadMain } from '../lib/load-main.js'

/*
 * Uses each port of a range a few times: connects, sends a word, waits for the echo, and closes.
 *
 *     touch FIRST LAST TIMES
 */

const AT_A_TIME = 50
const [first = 0, last = 0, times = 1] = process.argv.slice(2).map(Number)

async function touch(port: number): Promise<void> {
  const socket = connect({ port, host: HOST, noDelay: true })
  socket.write('x')
  await once(socket, 'data')
  const closed = once(socket, 'close')
  socket.end()
  await closed
}

loadMain(async () => {
  const count = last - first + 1
  const turns = Array.from({ length: count * times }, (_, i) => first + (i % count)).values()
  await Promise.all(
    Array.from({ length: AT_A_TIME }, async () => {
      for (const port of turns) await touch(port)
    }),
  )
})
