import { readdirSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { LogLineView } from '../../../src/api/schemas.js'
import { sendRequest } from '../../../src/status/status-socket.js'
import { kill } from '../../lib/proc.js'
import { run } from '../../lib/program.js'
import { PUBLISH, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { dial, readAll, startBackend } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/* docker-publish logs. */

/** A port on which nobody listens. */
const DEAD = 1
const ISOLATIONS = ['process', 'shared'] as const

/** A daemon that publishes a port of a backend which ends each connection. */
async function startWeb(t: Test, isolation: (typeof ISOLATIONS)[number]) {
  const daemon = await startDaemon(t)
  const backend = await startBackend(t, (socket) => socket.end('hello'))
  const { ports } = await daemon.client.add({
    ...{ name: 'web', backend: backend.ip, isolation, options: { 'access-log': 'on' } },
    ports: [`127.0.0.1::${backend.port}`, `127.0.0.1::${DEAD}`],
  })
  const [port = 0, deadPort = 0] = [backend.port, DEAD].map(
    (own) => ports.find(({ containerPort }) => containerPort === own)?.hostPort ?? 0,
  )
  const ask = async (to = port): Promise<string> => {
    const socket = await dial(t, to)
    const text = await readAll(socket).catch(() => '')
    socket.destroy()
    return text
  }
  return { daemon, port, deadPort, ask }
}

/** The lines of `logs --format json`, while it follows. */
function follow(t: Test, daemon: TestDaemon) {
  const running = run(t, ['logs', 'web', '-f', '--format', 'json'], {
    ...{ program: PUBLISH, status: 'ignore', env: { DOCKER_PUBLISH_HOST: daemon.host } },
  })
  let text = ''
  running.child.stdout?.on('data', (data) => (text += String(data)))
  const lines = (): LogLineView[] =>
    text
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line) as LogLineView)
  return { running, closed: () => lines().filter(({ msg }) => msg === 'Connection closed') }
}

const descriptors = ({ running }: TestDaemon): number =>
  readdirSync(`/proc/${running.pid}/fd`).length

for (const isolation of ISOLATIONS) {
  t.test(`${isolation}: the lines of all ports`, async (t) => {
    const { daemon, port, deadPort, ask } = await startWeb(t, isolation)
    t.match(await daemon.cli('logs', 'web'), {
      ...{ code: 0, stdout: '' },
      stderr: 'no lines yet: with --access-log on, each connection has one\n',
    })
    const untilLines = (count: number): Promise<void> =>
      until(async () => (await daemon.cli('logs', 'web')).stdout.split('\n').length > count)
    t.equal(await ask(), 'hello')
    await untilLines(1)
    await ask(deadPort)
    await untilLines(3)
    const { stdout } = await daemon.cli('logs', 'web')
    t.match(stdout, /^\[\d\d:\d\d:\d\d\.\d{3}\] INFO: Connection closed \{.*"ending":"finished"/)
    t.match(stdout, `"port":"127.0.0.1:${port}/tcp"`)
    t.match(stdout, /ERROR: Can't forward traffic .*: connection refused/)
    t.match(stdout, /"ending":"dial-failed"/)
    const last = await daemon.cli('logs', 'web', '-n', '1', '--format', 'json')
    t.match(JSON.parse(last.stdout), {
      ...{ level: 30, msg: 'Connection closed', port: `127.0.0.1:${deadPort}/tcp` },
    })
    t.match(await daemon.cli('logs', 'web', '-n', '0'), { code: 0, stdout: '', stderr: '' })
  })

  t.test(`${isolation}: -f shows those of later processes as well`, async (t) => {
    const { daemon, port, ask } = await startWeb(t, isolation)
    const { running, closed } = follow(t, daemon)
    const askAndSee = async (): Promise<void> => {
      const before = closed().length
      await until(async () => {
        t.equal(await ask(), 'hello')
        return closed().length > before
      })
    }
    await askAndSee()
    await daemon.client.upgrade('web', Infinity)
    await askAndSee()
    const { ports } = await daemon.client.get('web')
    kill(ports.find(({ hostPort }) => hostPort === port)?.pid)
    await askAndSee()
    const clients = closed().map(({ client }: LogLineView & { client?: string }) => client)
    t.equal(new Set(clients).size, clients.length, 'each connection once')
    await daemon.client.remove('web')
    t.strictSame(await running.exit, { code: 0, signal: null })
  })
}

t.test('requests that make no sense', async (t) => {
  const { daemon } = await startWeb(t, 'process')
  t.match(await daemon.cli('logs', 'nope'), { code: 125, stderr: /^no such publication: nope/ })
  t.match(await daemon.cli('logs', 'web', '--tail', 'few'), {
    ...{ code: 2, stderr: /invalid --tail "few": expected a number, or all\n$/ },
  })
  t.match(await daemon.cli('logs'), { code: 2 })
})

for (const isolation of ISOLATIONS) {
  t.test(`${isolation}: a reader gets each line from its start on, and once`, async (t) => {
    const { daemon, ask } = await startWeb(t, isolation)
    for (let i = 0; i < 20; i++) await ask()
    const before = descriptors(daemon)
    const lines = daemon.client.log('web', 0, true)
    const first = lines.next()
    // The reader's connection, and those to the processes.
    const processes = isolation === 'process' ? 2 : 1
    await until(() => descriptors(daemon) >= before + 1 + processes)
    await daemon.client.connections('web')
    const clients: unknown[] = []
    for (let i = 0; i < 50; i++) await ask()
    for (let next = await first; ; next = await lines.next()) {
      const line = next.value as LogLineView & { client?: string }
      if (line.msg === 'Connection closed') clients.push(line.client)
      if (clients.length === 50) break
    }
    t.equal(new Set(clients).size, 50)
    await lines.return(undefined)
  })
}

t.test('readers leave room for orders, and cost nothing when they leave', async (t) => {
  const { daemon, ask } = await startWeb(t, 'process')
  const socket = daemon.statusSockets()[0] ?? ''
  const { value, connection } = await sendRequest(socket, 'follow few')
  t.strictSame(value, { error: '"few" is not the number of a line' })
  connection.destroy()
  const before = descriptors(daemon)
  // More than a process has places for.
  const readers = Array.from({ length: 80 }, () => daemon.client.log('web', undefined, true))
  const firsts = readers.map((reader) => reader.next())
  await until(() => descriptors(daemon) >= before + readers.length)
  await daemon.client.set('web', { 'max-connections': '77' })
  t.match(await daemon.client.upgrade('web', Infinity), { processes: 2 })
  t.equal(await ask(), 'hello')
  for (const first of firsts) t.match((await first).value, { msg: 'Connection closed' })
  for (const reader of readers) await reader.return(undefined)
  await until(() => descriptors(daemon) <= before)
  await daemon.end('SIGTERM')
  t.notMatch(await daemon.running.stderr, 'Warning')
})
