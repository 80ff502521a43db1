import { readdirSync } from 'node:fs'
import { once } from 'node:events'
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

for (const isolation of ISOLATIONS) {
  t.test(`${isolation}: the lines of all ports`, async (t) => {
    const { daemon, port, deadPort, ask } = await startWeb(t, isolation)
    t.match(await daemon.cli('logs', 'web'), {
      ...{ code: 0, stdout: '' },
      stderr:
        /^no lines: ".*docker-publish set web --access-log on" has one for each connection\n$/,
    })
    t.equal(await ask(), 'hello')
    await ask(deadPort)
    await until(async () => (await daemon.cli('logs', 'web')).stdout.split('\n').length === 4)
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

t.test('a reader that is stuck, or leaves, costs nothing', async (t) => {
  const { daemon, ask } = await startWeb(t, 'process')
  const { running } = follow(t, daemon)
  running.child.stdout?.pause()
  const { connection } = await sendRequest(daemon.statusSockets()[0] ?? '', 'log few')
  connection.destroy()
  running.child.kill('SIGSTOP')
  for (let i = 0; i < 20; i++) t.equal(await ask(), 'hello')
  const exit = once(running.child, 'exit')
  running.child.kill('SIGKILL')
  await exit
  // The daemon has left the proxies' logs, and reads them again.
  const descriptors = (): number => readdirSync(`/proc/${daemon.running.pid}/fd`).length
  const before = descriptors()
  const next = follow(t, daemon)
  await until(() => next.closed().length === 20)
  t.ok(descriptors() > before)
  next.running.child.kill('SIGINT')
  await until(() => descriptors() <= before)
})
