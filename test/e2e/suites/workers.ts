import { once } from 'node:events'
import { Socket } from 'node:net'
import type { Test } from 'tap'
import { stop, type Running } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { listeningDescriptor } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const CLIENTS = 128
/** Rounds after which servers read what has come, long before their buffers are full. */
const ROUNDS_UNREAD = 16
const BUSY = 'Busy: one more thread shares the work'
const raw = rawCalls()

/**
 * A proxy with clients that send small messages, so that the proxy works more than the test does.
 * `round` sends a message of each client, and waits until the last one has arrived.
 */
async function startBusyProxy(
  t: Test,
  target: Target,
  workers: string,
): Promise<{ running: Running; round: () => Promise<void> }> {
  const { fd: backend, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  t.teardown(() => raw.close(backend))
  const env = { DOCKER_PROXY_ENGINE: 'native', DOCKER_PROXY_WORKERS: workers }
  const running = await target.startProxy(t, { ip: '127.0.0.1', port }, { env })
  const pairs: [client: number, server: number][] = []
  for (let i = 0; i < CLIENTS; i++) {
    const client = raw.connect(running.port)
    pairs.push([client, await raw.accept(backend)])
  }
  t.teardown(() => pairs.flat().forEach(raw.close))
  // While the proxy works, the test sleeps: it must not take processor time from the proxy.
  const lastClient = raw.connect(running.port)
  const lastServer = new Socket({ fd: await raw.accept(backend) })
  t.teardown(() => {
    raw.close(lastClient)
    lastServer.destroy()
  })
  let rounds = 0
  const round = async (): Promise<void> => {
    const hasArrived = once(lastServer, 'data')
    for (const [client] of pairs) raw.send(client, '?')
    raw.send(lastClient, '?')
    await hasArrived
    if (++rounds % ROUNDS_UNREAD > 0) return
    for (const [, server] of pairs) raw.receive(server)
  }
  return { running, round }
}

export function workersSuite(t: Test, target: Target): void {
  t.test('a busy proxy shares the work with a thread, and ends at once as ever', async (t) => {
    const { running, round } = await startBusyProxy(t, target, '2')
    let reported = ''
    running.child.stderr?.on('data', (chunk: Buffer) => (reported += chunk.toString()))
    await until(async () => {
      for (let i = 0; i < 100; i++) await round()
      return reported.includes(BUSY)
    })
    for (let i = 0; i < 100; i++) await round()
    t.match(await stop(running), { code: 0, signal: null })
  })

  t.test('with one worker it keeps to one thread', async (t) => {
    const { running, round } = await startBusyProxy(t, target, '1')
    for (let i = 0; i < 300; i++) await round()
    t.match(await stop(running), { code: 0, signal: null })
    t.notMatch(await running.stderr, BUSY)
  })
}
