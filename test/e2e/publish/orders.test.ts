import { spawn } from 'node:child_process'
import { once } from 'node:events'
import t from 'tap'
import { Controller } from '../../../src/controller/controller.js'
import { identify } from '../../../src/linux/proc/process-identity.js'
import { orderBackends, orderDrain } from '../../../src/status/proxy-orders.js'
import { makeFakeProxy } from '../../lib/fake-proxy.js'
import { freeRow } from '../../lib/free-row.js'
import { MemoryLog } from '../../lib/memory-log.js'
import { PROGRAM } from '../../lib/program.js'
import { startDaemon } from '../../lib/publish.js'
import { dial, exchange, readAll, startBackend, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/* Orders to proxies that run: they take them on their status sockets. */

/** A server on all addresses that tells on which one it was reached. @returns its port */
async function startMirror(t: Parameters<typeof startBackend>[0]): Promise<number> {
  const { port } = await startBackend(
    t,
    (socket) => socket.end(socket.localAddress ?? ''),
    '0.0.0.0',
  )
  return port
}

for (const isolation of ['process', 'shared'] as const) {
  t.test(`isolation ${isolation}: the backend changes, and a drain waits`, async (t) => {
    const daemon = await startDaemon(t)
    const container = await startMirror(t)
    const port = freeRow(1)
    const ports = [`127.0.0.1:${port}:${container}`]
    await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports, isolation })
    const path = daemon.statusSockets()[0] ?? ''
    t.equal(await exchange(t, port, ''), '127.0.0.1')
    await orderBackends(path, { backends: [{ ip: '127.0.0.2' }], holdMs: 0 })
    t.equal(await exchange(t, port, ''), '127.0.0.2')
    await t.rejects(orderBackends(path, { backends: [{ ip: 'nonsense' }], holdMs: 0 }), {
      message: /"nonsense" is not an IP address/,
    })
    await t.rejects(orderBackends(path, { backends: [], holdMs: NaN }), {
      message: /"NaN" is not a time/,
    })

    const { ports: before } = await daemon.client.get('a')
    await orderDrain(path, 600_000)
    await until(async () => {
      const { ports: now } = await daemon.client.get('a')
      return now[0]?.state === 'up' && now[0].pid !== before[0]?.pid
    })
    t.equal(await exchange(t, port, ''), '127.0.0.1', 'another process serves the port')
  })
}

for (const isolation of ['process', 'shared'] as const) {
  for (const engine of ['native', 'streams']) {
    t.test(
      `${isolation}, ${engine}: without a daemon, an address goes with its container`,
      async (t) => {
        const daemon = await startDaemon(t, { env: { DOCKER_PROXY_ENGINE: engine } })
        const server = await startMirror(t)
        const port = freeRow(1)
        const ports = [`127.0.0.1:${port}:${server}`]
        await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports, isolation })
        const container = spawn('sleep', ['1000'])
        t.teardown(() => void container.kill('SIGKILL'))
        const other = spawn('sleep', ['1000'])
        t.teardown(() => void other.kill('SIGKILL'))
        const processes = [container, other].map(({ pid = 0 }) => identify(pid))
        const backends = processes.map((process, i) => ({
          ip: `127.0.0.${i + 1}`,
          ...(process ? { process } : {}),
        }))
        await orderBackends(daemon.statusSockets()[0] ?? '', { backends, holdMs: 0 })
        await daemon.end('SIGKILL')
        const answers = [await exchange(t, port, ''), await exchange(t, port, '')].sort()
        t.strictSame(answers, ['127.0.0.1', '127.0.0.2'], 'both are served without a daemon')
        container.kill('SIGKILL')
        await once(container, 'exit')
        await until(async () => {
          const now = [await exchange(t, port, ''), await exchange(t, port, '')]
          return now.every((answer) => answer === '127.0.0.2')
        })
        other.kill('SIGKILL')
        await once(other, 'exit')
        await until(async () => (await exchange(t, port, '').catch(() => 'reset')) !== '127.0.0.2')
        t.not(await exchange(t, port, '').catch(() => 'reset'), '127.0.0.2')
      },
    )
  }
}

function startController(t: Parameters<typeof startBackend>[0]): Controller {
  const { runFolder } = makeFakeProxy(t)
  const program = { path: PROGRAM, takesSocket: true, isOurs: true }
  const controller = new Controller({ program, runFolder, log: new MemoryLog() })
  t.teardown(() => controller.close())
  return controller
}

t.test('open connections of a withdrawn publication end by themselves', async (t) => {
  const controller = startController(t)
  const echo = await startEcho(t)
  const port = freeRow(1)
  const { name } = await controller.add({
    backend: echo.ip,
    ports: [`127.0.0.1:${port}:${echo.port}`],
  })
  const client = await dial(t, port)
  client.write('a')
  await once(client, 'data')
  const removed = controller.remove(name, { drainMs: 600_000 })
  client.end('b')
  t.equal(await readAll(client), 'b')
  await removed
  t.same(await controller.list(), [])
})
