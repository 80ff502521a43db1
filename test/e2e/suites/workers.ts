import type { Test } from 'tap'
import { stop, type Running } from '../../lib/program.js'
import type { Target } from '../../lib/target.js'
import { rawCalls } from '../../lib/raw-sockets.js'
import { listeningDescriptor } from '../../lib/sockets.js'

const CLIENTS = 32
const BUSY = 'Busy: one more thread shares the work'
const raw = rawCalls()

/**
 * A proxy with clients and a backend that exchange messages as fast as system calls allow, so that the proxy is the bottleneck.
 * `step` gives each of them a turn, and returns the number of answers.
 */
async function startBusyProxy(
  t: Test,
  target: Target,
  workers: string,
): Promise<{ running: Running; step: () => Promise<number> }> {
  const { fd: backend, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  t.teardown(() => raw.close(backend))
  const env = { DOCKER_PROXY_ENGINE: 'native', DOCKER_PROXY_WORKERS: workers }
  const running = await target.startProxy(t, { ip: '127.0.0.1', port }, { env })
  const pairs: [client: number, server: number][] = []
  for (let i = 0; i < CLIENTS; i++) {
    const client = raw.connect(running.port)
    pairs.push([client, await raw.accept(backend)])
    raw.send(client, '?')
  }
  t.teardown(() => pairs.flat().forEach(raw.close))
  const step = async (): Promise<number> => {
    let answers = 0
    for (const [client, server] of pairs) {
      if (raw.receive(server) === '?') raw.send(server, '!')
      if (raw.receive(client) !== '!') continue
      raw.send(client, '?')
      answers++
    }
    await new Promise(setImmediate)
    return answers
  }
  return { running, step }
}

export function workersSuite(t: Test, target: Target): void {
  t.test('a busy proxy shares the work with a thread, and ends at once as ever', async (t) => {
    const { running, step } = await startBusyProxy(t, target, '2')
    let reported = ''
    running.child.stderr?.on('data', (chunk: Buffer) => (reported += chunk.toString()))
    while (!reported.includes(BUSY)) await step()
    for (let answers = 0; answers < 100 * CLIENTS;) answers += await step()
    t.match(await stop(running), { code: 0, signal: null })
  })

  t.test('with one worker it keeps to one thread', async (t) => {
    const { running, step } = await startBusyProxy(t, target, '1')
    for (let answers = 0; answers < 2_000 * CLIENTS;) answers += await step()
    t.match(await stop(running), { code: 0, signal: null })
    t.notMatch(await running.stderr, BUSY)
  })
}
