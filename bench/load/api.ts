import { once } from 'node:events'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { loadMain } from '../lib/load-main.js'

/*
 * Clients of docker-publish's API that ask for what takes long, without a pause, while connections to a port are open.
 *
 *     api SOCKET PORT CONNECTIONS     prints "ready" when all connections are open, and goes on until it is killed
 */

const HOST = '127.0.0.1'
/** Connections that are opened at the same time. */
const AT_A_TIME = 100
const [socketPath = '', port = '', connections = ''] = process.argv.slice(2)

const QUESTIONS: readonly [method: string, path: string, body?: object][] = [
  ['GET', 'publications'],
  ['GET', 'docker-ports'],
  ['POST', 'check', { ports: ['1024-65535:1024-65535/udp'] }],
  ['POST', 'check', { ports: [`${HOST}:${port}:80`] }],
]

async function ask(method: string, path: string, body?: object): Promise<void> {
  const headers = { 'content-type': 'application/json' }
  const sent = request({ socketPath, method, path: `/v1/${path}`, ...(body ? { headers } : {}) })
  sent.end(body && JSON.stringify(body))
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  await once(response, 'end')
}

async function open(): Promise<void> {
  const socket = connect({ host: HOST, port: Number(port) })
  await once(socket, 'connect')
}

loadMain(async () => {
  for (let left = Number(connections); left > 0; left -= AT_A_TIME) {
    await Promise.all(Array.from({ length: Math.min(AT_A_TIME, left) }, open))
  }
  console.log('ready')
  await Promise.all(
    QUESTIONS.map(async (question) => {
      for (;;) await ask(...question)
    }),
  )
})
