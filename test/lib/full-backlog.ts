import { connect } from 'node:net'
import { once } from 'node:events'
import type { Test } from 'tap'
import { listeningDescriptor } from './sockets.js'

/** Connections that are waiting to be accepted by nobody. */
const CLIENTS_FILLING_BACKLOG = 2

/** A backend that does not answer: its backlog is full, so the kernel drops further dials. */
export async function fillBacklog(t: Test): Promise<{ ip: string; port: number }> {
  const ip = '127.0.0.1'
  // One more than this is accepted by the kernel.
  const { port } = await listeningDescriptor(t, { host: ip, backlog: CLIENTS_FILLING_BACKLOG - 1 })
  for (let i = 0; i < CLIENTS_FILLING_BACKLOG; i++) {
    const client = connect(port, ip)
    t.teardown(() => client.destroy())
    client.on('error', () => undefined)
    await once(client, 'connect')
  }
  return { ip, port }
}
