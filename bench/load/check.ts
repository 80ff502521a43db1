import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { get, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { execa } from 'execa'
import { loadMain } from '../lib/load-main.js'

/*
 * Sends one request, so that no proxy is measured that does not work. Tries for a while, because the proxy may still be starting.
 *
 *     check iperf3|http|echo|udp PORT [HOST]
 *
 * Prints the fault, and ends with status 1.
 */

const TRIES_MS = 10_000
const PAUSE_MS = 10
/** An answer that has not come after this time is lost, milliseconds. */
const ANSWER_MS = 1_000
const WORD = 'are you there?'
const [kind = '', port = '', host = '127.0.0.1'] = process.argv.slice(2)

const checks: Record<string, (port: number, signal: AbortSignal) => Promise<void>> = {
  async iperf3(port, signal) {
    const options = ['--client', host, '--port', String(port), '--bytes', '1K']
    await execa('iperf3', options, { cancelSignal: signal })
  },
  async http(port, signal) {
    const request = get({ port, host, agent: false, signal })
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    if (response.statusCode !== 200) throw new Error(`it answered ${response.statusCode ?? 0}`)
  },
  async echo(port, signal) {
    await using(connect(port, host), async (socket) => {
      socket.write(WORD)
      expectWord(await once(socket, 'data', { signal }))
    })
  },
  async udp(port, signal) {
    const socket = createSocket('udp4')
    try {
      socket.connect(port, host)
      await once(socket, 'connect')
      socket.send(WORD)
      expectWord(await once(socket, 'message', { signal }))
    } finally {
      socket.close()
    }
  },
}

async function using<T extends { destroy(): unknown }>(
  socket: T,
  use: (socket: T) => Promise<unknown>,
): Promise<void> {
  try {
    await use(socket)
  } finally {
    socket.destroy()
  }
}

function expectWord([data]: unknown[]): void {
  if (String(data) !== WORD) throw new Error(`it answered ${JSON.stringify(String(data))}`)
}

async function main(): Promise<void> {
  const check = checks[kind]
  if (!check) throw new Error(`there is no check ${JSON.stringify(kind)}`)
  for (const end = performance.now() + TRIES_MS; ;) {
    try {
      return await check(Number(port), AbortSignal.timeout(ANSWER_MS))
    } catch (err) {
      if (performance.now() > end) throw err
      await new Promise((done) => setTimeout(done, PAUSE_MS))
    }
  }
}

loadMain(main)
