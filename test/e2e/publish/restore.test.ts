import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import type { PublicationEvent } from '../../../src/controller/publication-event.js'
import type { RuntimeRecord } from '../../../src/supervisor/runtime-record.js'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { PROGRAM } from '../../lib/program.js'
import { leftovers, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { assertReleased } from '../../lib/released.js'
import { dial, exchange, startEcho, type Backend } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/** A daemon that publishes an echo server as `a`. */
async function startPublished(
  t: Test,
  ...args: string[]
): Promise<{ daemon: TestDaemon; echo: Backend; port: number; pid: number }> {
  const daemon = await startDaemon(t, {}, ...args)
  const echo = await startEcho(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    // A port that no other daemon of these tests picks.
    ports: [`127.0.0.1:${freeRow(1)}:${echo.port}`],
  })
  return { daemon, echo, port: ports[0]?.hostPort ?? 0, pid: ports[0]?.pid ?? 0 }
}

const portOf = async (daemon: TestDaemon) => (await daemon.client.get('a')).ports[0]

t.test('the daemon is killed under load and started again: no client notices', async (t) => {
  const { daemon, port, pid } = await startPublished(t)
  const held = await dial(t, port)
  let next: TestDaemon | undefined
  const done = new AbortController()
  let answered = 0
  const load = (async () => {
    for (; !done.signal.aborted; answered++) {
      const text = `client ${answered}`
      if ((await exchange(t, port, text)) !== text) throw new Error(`${text} was lost`)
    }
  })()
  for (let i = 0; i < 3; i++) {
    const before = answered
    await (next ?? daemon).end('SIGKILL')
    // Meanwhile only the proxy runs.
    await until(() => answered > before + 20)
    next = await daemon.again()
  }
  done.abort()
  await load
  t.comment(`${answered} connections`)
  t.match(await portOf(next ?? daemon), {
    state: 'up',
    pid,
    restarts: 0,
    holdsSocket: true,
  })
  held.end('held all the time')
  let text = ''
  for await (const chunk of held) text += String(chunk)
  t.equal(text, 'held all the time')
})

t.test(
  'an adopted proxy: its end is noticed, with its status, and no client is refused',
  async (t) => {
    const { daemon, port, pid } = await startPublished(t)
    await daemon.end('SIGKILL')
    const next = await daemon.again()
    const events: PublicationEvent[] = []
    const reading = (async () => {
      for await (const event of next.client.events()) events.push(event)
    })().catch(() => undefined)
    await until(async () => {
      await next.client.add({ name: 'b', backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
      await next.client.remove('b')
      return events.length > 0
    })
    kill(pid)
    // The client waits in the backlog of the socket that the new daemon has copied from the proxy.
    t.equal(await exchange(t, port, 'patient'), 'patient')
    const status = await portOf(next)
    t.match(status, { state: 'up', restarts: 1, reason: 'signal 9' })
    t.not(status?.pid, pid)
    await until(() => events.some(({ type }) => type === 'proxy-exited'))
    t.match(
      events.find(({ type }) => type === 'proxy-exited'),
      { publication: 'a', reason: 'signal 9' },
    )
    await next.client.remove('a')
    await assertReleased(t, port)
    t.same(leftovers(next.folder), [])
    t.same(readdirSync(join(next.folder, 'exec')), [])
    await next.end('SIGTERM')
    await reading
  },
)

t.test('an adopted proxy is withdrawn as any other', async (t) => {
  const { daemon, port } = await startPublished(t)
  await daemon.end('SIGKILL')
  const next = await daemon.again()
  t.match(await next.cli('rm', 'a'), { code: 0 })
  await assertReleased(t, port)
  t.same(leftovers(next.folder), [])
  await next.client.add({ name: 'b', backend: '127.0.0.1', ports: [`127.0.0.1:${port}:80`] })
  t.match(await next.end('SIGTERM'), { code: 0 })
  t.same(leftovers(next.folder), [])
})

t.test(
  'a proxy that ended while no daemon was running is restarted, and the reason is reported',
  async (t) => {
    const { daemon, port, pid } = await startPublished(t)
    await daemon.end('SIGKILL')
    kill(pid)
    await until(() => leftovers(daemon.folder).length === 0)
    const next = await daemon.again()
    await until(async () => (await portOf(next))?.state === 'up')
    t.match(await portOf(next), { restarts: 1, reason: 'signal 9, while no daemon was running' })
    t.equal(await exchange(t, port, 'again'), 'again')
  },
)

t.test('SIGTERM leaves the proxies only with --live-restore', async (t) => {
  const { daemon, port, pid } = await startPublished(t, '--live-restore')
  t.match(await daemon.end('SIGTERM'), { code: 0 })
  t.equal(await exchange(t, port, 'alone'), 'alone')
  const next = await daemon.again()
  t.match(await portOf(next), { state: 'up', pid })
})

t.test(
  'the next daemon publishes what a stopped one has published; rm --all ends it',
  async (t) => {
    const { daemon, port } = await startPublished(t)
    t.match(await daemon.end('SIGTERM'), { code: 0 })
    await t.rejects(exchange(t, port, 'x'), { code: 'ECONNREFUSED' })
    const next = await daemon.again()
    t.match(await portOf(next), { state: 'up', restarts: 0 })
    t.equal(await exchange(t, port, 'again'), 'again')
    t.match(await next.cli('rm', '--all', 'a'), {
      code: 2,
      stderr: /give names of publications, or --all/,
    })
    t.match(await next.cli('rm'), { code: 2, stderr: /a name is missing/ })
    t.match(await next.cli('rm', '--all'), { code: 0, stdout: 'a\n' })
    t.match(await next.cli('rm', '--all'), { code: 0, stdout: '' })
    await next.end('SIGTERM')
    t.same(await (await next.again()).client.list(), [])
  },
)

t.test('one folder may be both the data root and the exec root', async (t) => {
  let next = await startDaemon(t, { hasOneRoot: true })
  const echo = await startEcho(t)
  const port = freeRow(1)
  await next.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${port}:${echo.port}`],
  })
  for (let i = 0; i < 3; i++) {
    await next.end('SIGKILL')
    next = await next.again()
    t.equal(await exchange(t, port, 'still here'), 'still here')
    t.match(await portOf(next), { state: 'up' })
  }
})

t.test('an emptied run folder: orphans make way for their successors', async (t) => {
  const { daemon, port, pid } = await startPublished(t)
  await daemon.end('SIGKILL')
  const exec = join(daemon.folder, 'exec')
  for (const name of readdirSync(exec)) rmSync(join(exec, name))
  const next = await daemon.again()
  // The orphan may have the port for another moment.
  await until(async () => (await portOf(next))?.state === 'up')
  t.not((await portOf(next))?.pid, pid)
  t.equal(await exchange(t, port, 'still here'), 'still here')
  await next.client.remove('a')
  t.same(leftovers(daemon.folder), [])
})

t.test("a start leaves other people's files alone", async (t) => {
  const { daemon } = await startPublished(t)
  await daemon.end('SIGKILL')
  const exec = join(daemon.folder, 'exec')
  const foreign = ['package.json', 'sshd.pid', 'x.exit', 'y.socket']
  for (const name of foreign) writeFileSync(join(exec, name), '1')
  const next = await daemon.again()
  await next.client.remove('a')
  await next.end('SIGTERM')
  t.same(readdirSync(exec).sort(), foreign.sort())
})

t.test('a process that is not surely the proxy is not adopted', async (t) => {
  const { daemon, port, pid } = await startPublished(t)
  await daemon.end('SIGKILL')
  const exec = join(daemon.folder, 'exec')
  const [name = ''] = readdirSync(exec).filter((file) => file.endsWith('.json'))
  const record = JSON.parse(readFileSync(join(exec, name), 'utf8')) as RuntimeRecord
  // As if another process had got the pid since.
  const { proxy } = record
  const forged = { ...record, proxy: { ...proxy, startTime: proxy.startTime + 1 } }
  writeFileSync(join(exec, name), JSON.stringify(forged))
  const next = await daemon.again()
  await until(async () => (await portOf(next))?.state === 'up')
  t.not((await portOf(next))?.pid, pid)
  t.equal(await exchange(t, port, 'new one'), 'new one')
  t.equal(leftovers(next.folder).length, 2, 'a shim and a proxy')
})

t.test('a port that another process took in the meantime is tried until it is free', async (t) => {
  const { daemon, port, pid } = await startPublished(t)
  await daemon.end('SIGKILL')
  kill(pid)
  await until(() => leftovers(daemon.folder).length === 0)
  const holder = createServer().listen(port, '127.0.0.1')
  await until(() => holder.listening)
  const next = await daemon.again()
  const reason = `failed to bind host port 127.0.0.1:${port}/tcp: address already in use (held by pid ${process.pid})`
  await until(async () => (await portOf(next))?.reason === reason)
  t.match(await portOf(next), { state: 'restarting', holdsSocket: false })
  holder.close()
  await until(async () => (await portOf(next))?.state === 'up')
  t.equal(await exchange(t, port, 'free'), 'free')
})

t.test('killed in the middle of an add: the next daemon ends orphaned processes', async (t) => {
  // A docker-proxy that never gets ready.
  const folder = t.testdir()
  const slow = join(folder, 'docker-proxy')
  execaSync('mkfifo', [join(folder, 'never')])
  const script = `#!/bin/sh\ncase "$*" in -help) ;; *) read -r _ <${folder}/never ;; esac\nexec ${PROGRAM} "$@"\n`
  writeFileSync(slow, script, { mode: 0o755 })
  const daemon = await startDaemon(t, {}, '--proxy-path', slow)
  const adding = daemon.client.add({ backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
  await until(() => readdirSync(join(daemon.folder, 'exec')).some((name) => name.endsWith('.pid')))
  await Promise.all([daemon.end('SIGKILL'), t.rejects(adding)])
  t.ok(leftovers(daemon.folder).length >= 2)
  const next = await daemon.again()
  t.same(await next.client.list(), [])
  await until(() => leftovers(next.folder).length === 0)
  t.same(readdirSync(join(next.folder, 'exec')), [])
})
