import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { processStartTime } from '../../../src/linux/proc/process.js'
import { bindUdp, receive, startUdpEcho } from '../../lib/datagrams.js'
import { freeRow } from '../../lib/free-row.js'
import { Load } from '../../lib/load.js'
import { notRoot } from '../../lib/program.js'
import { startDaemon, type TestDaemon } from '../../lib/publish.js'
import { mountSmallDisk } from '../../lib/small-disk.js'
import { dial, exchange, readBytes, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/* The processes of publications are replaced by those of the installed program. */

const isRunning = (pid: number): boolean => processStartTime(pid) !== undefined

async function pidsOf({ client }: TestDaemon, name: string): Promise<readonly number[]> {
  return (await client.get(name)).ports.map(({ pid = 0 }) => pid)
}

for (const isolation of ['process', 'shared'] as const) {
  for (const engine of ['native', 'streams']) {
    t.test(`${isolation}, ${engine}: no request fails, and connections stay`, async (t) => {
      const daemon = await startDaemon(t, { env: { DOCKER_PROXY_ENGINE: engine } })
      const echo = await startEcho(t)
      const first = freeRow(3)
      const numbers = [first, first + 1, first + 2]
      const ports = numbers.map((port) => `127.0.0.1:${port}:${echo.port}`)
      await daemon.client.add({ name: 'web', backend: echo.ip, ports, isolation })
      const before = await pidsOf(daemon, 'web')
      const lasting = await dial(t, first)
      lasting.write('before')
      t.equal(await readBytes(lasting, 6), 'before')
      const load = Load.start(
        t,
        numbers.map((port) => ({ ip: '127.0.0.1', port })),
      )
      await load.goOn(200)

      for (let i = 0; i < 3; i++) {
        const { code, stdout, stderr } = await daemon.cli('upgrade')
        t.same([code, stderr], [0, ''])
        t.match(
          stdout,
          /^web: [13] process(es)? replaced, [1-9]\d* connections? stays? in (the old process|old processes)$/m,
        )
        await load.goOn(200)
      }
      const after = await pidsOf(daemon, 'web')
      t.notOk(after.some((pid) => before.includes(pid)))
      lasting.write(' after')
      t.equal(await readBytes(lasting, 6), ' after', 'in the old process')
      await load.stop()
      t.same([load.refused, load.cut], [0, 0])
      t.comment(`${load.answered} connections`)

      await until(async () => (await daemon.client.get('web')).ports[0]?.oldConnections === 1)
      t.ok(before.some(isRunning))
      lasting.destroy()
      await until(() => !before.some(isRunning))
      await until(async () => {
        const [port] = (await daemon.client.get('web')).ports
        return port?.connections === 0 && port.oldConnections === undefined
      })
      const files = (): string[] => readdirSync(join(daemon.folder, 'exec'))
      const left = isolation === 'shared' ? 1 : 3
      await until(() => files().filter((name) => name.endsWith('.pid')).length === left)
    })
  }
}

t.test('UDP clients reach the new process, and replies come from the old one', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startUdpEcho(t)
  const port = freeRow(1)
  const ports = [`127.0.0.1:${port}:${echo.port}/udp`]
  await daemon.client.add({ name: 'dns', backend: echo.ip, ports })
  const client = await bindUdp(t)
  for (const text of ['one', 'two']) {
    const answer = receive(client.socket)
    client.socket.send(text, port, '127.0.0.1')
    t.equal(String((await answer).data), text)
    t.match(await daemon.client.upgrade('dns', Infinity), { processes: 1 })
  }
})

t.test('a time for the connections of old processes', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const port = freeRow(1)
  const ports = [`127.0.0.1:${port}:${echo.port}`]
  await daemon.client.add({ name: 'web', backend: echo.ip, ports })
  const lasting = await dial(t, port)
  const closed = once(lasting.resume(), 'end')
  t.match(await daemon.cli('upgrade', 'web', '--drain', '100ms'), { code: 0 })
  await closed
  t.equal(await exchange(t, port, 'again'), 'again')
  t.match(await daemon.cli('upgrade', '--drain', 'soon'), {
    code: 2,
    stderr: /invalid --drain "soon": expected a time of at most 1h/,
  })
  t.match(await daemon.cli('upgrade', 'nope'), { code: 125, stderr: /no such publication: nope/ })
})

t.test('a daemon that is killed: the next one knows the old processes', async (t) => {
  const daemon = await startDaemon(t, {}, '--live-restore')
  const echo = await startEcho(t)
  const port = freeRow(1)
  await daemon.client.add({
    ...{ name: 'web', backend: echo.ip, ports: [`127.0.0.1:${port}:${echo.port}`] },
  })
  const [before = 0] = await pidsOf(daemon, 'web')
  const lasting = await dial(t, port)
  lasting.write('a')
  await readBytes(lasting, 1)
  t.match(await daemon.client.upgrade('web', Infinity), { processes: 1, oldConnections: 1 })
  const [after = 0] = await pidsOf(daemon, 'web')
  await daemon.end('SIGKILL')
  lasting.write('b')
  t.equal(await readBytes(lasting, 1), 'b')
  const next = await daemon.again()
  t.same(await pidsOf(next, 'web'), [after], 'it has adopted the new process')
  t.match((await next.client.get('web')).ports, [{ connections: 1, oldConnections: 1 }])
  t.match(readFileSync(join(daemon.folder, 'data/state.json'), 'utf8'), '"retired"')
  lasting.write('c')
  t.equal(await readBytes(lasting, 1), 'c')

  // A publication that is withdrawn ends both.
  const closed = once(lasting.resume(), 'end')
  t.match(await next.cli('rm', 'web'), { code: 0 })
  await closed
  t.notOk([before, after].some(isRunning))
})

t.test('a process that does not answer is left alone', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const port = freeRow(1)
  const ports = [`127.0.0.1:${port}:${echo.port}`]
  await daemon.client.add({ name: 'web', backend: echo.ip, ports })
  const before = await pidsOf(daemon, 'web')
  process.kill(before[0] ?? 0, 'SIGSTOP')
  t.match(await daemon.cli('upgrade', 'web'), { code: 125, stderr: /tcp: it does not reply/ })
  process.kill(before[0] ?? 0, 'SIGCONT')
  t.equal(await exchange(t, port, 'x'), 'x')
  t.same(await pidsOf(daemon, 'web'), before)
})

t.test('a full disk: nothing is replaced', { skip: notRoot('to mount') }, async (t) => {
  const disk = mountSmallDisk(t)
  const daemon = await startDaemon(t, { dataRoot: disk.folder })
  const echo = await startEcho(t)
  const port = freeRow(1)
  const ports = [`127.0.0.1:${port}:${echo.port}`]
  await daemon.client.add({ name: 'web', backend: echo.ip, ports })
  const before = await pidsOf(daemon, 'web')
  const lasting = await dial(t, port)
  disk.fill()
  t.match(await daemon.cli('upgrade', 'web'), { code: 1, stderr: /no space left on device/ })
  lasting.write('still there')
  t.equal(await readBytes(lasting, 11), 'still there')
  t.same(await pidsOf(daemon, 'web'), before)
})
