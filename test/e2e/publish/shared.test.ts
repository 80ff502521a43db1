import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { PublicationView } from '../../../src/controller/views.js'
import { deferred } from '../../../src/deferred.js'
import { processCommand } from '../../../src/linux/proc/process.js'
import { freeRow } from '../../lib/free-row.js'
import { openDescriptors } from '../../lib/proc.js'
import { ORIGINAL, proxyFlags, READY, run, stop } from '../../lib/program.js'
import { runFolder, startProxyd } from '../../lib/proxyd.js'
import { leftovers, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { dial, exchange, readAll, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const PORTS = 20
/** Distance of the backend ports, so that no port is forwarded to itself. */
const BACKEND = '127.0.0.2'

/** A range of ports, each with an echo server of its own. */
async function publishRange(
  t: Test,
  daemon: TestDaemon,
  isolation?: 'process' | 'shared',
): Promise<{ view: PublicationView; ports: number[] }> {
  const first = freeRow(PORTS)
  const ports = Array.from({ length: PORTS }, (_, i) => first + i)
  for (const port of ports) {
    const server = createServer((socket) => {
      socket.on('error', () => undefined)
      socket.pipe(socket)
    }).listen(port, BACKEND)
    await once(server, 'listening')
    t.teardown(() => server.close())
  }
  const range = `${first}-${first + PORTS - 1}`
  const view = await daemon.client.add({
    name: 'range',
    backend: BACKEND,
    ports: [`127.0.0.1:${range}:${range}`],
    ...(isolation ? { isolation } : {}),
  })
  return { view, ports }
}

const pidsOf = ({ ports }: PublicationView): number[] => [
  ...new Set(ports.flatMap(({ pid }) => pid ?? [])),
]

t.test('a wide range is served by one process, which reports each port', async (t) => {
  const daemon = await startDaemon(t)
  const { view, ports } = await publishRange(t, daemon)
  t.equal(view.isolation, 'shared')
  t.equal(pidsOf(view).length, 1)
  t.match(processCommand(pidsOf(view)[0] ?? 0), [/node/, /docker-publish-shared$/, 'range'])
  for (const port of ports) t.equal(await exchange(t, port, `port ${port}`), `port ${port}`)
  const held = await dial(t, ports[3] ?? 0)
  held.write('x')
  await once(held, 'data')
  const { ports: views } = await daemon.client.get('range')
  t.match(views[3], { connections: 1, bytesIn: 11, bytesOut: 11, state: 'up', holdsSocket: true })
  t.match(views[4], { connections: 0, bytesIn: 10, bytesOut: 10 })

  await daemon.client.remove('range')
  for (const port of ports) {
    await t.rejects(exchange(t, port, 'x'), { code: 'ECONNREFUSED' })
  }
  t.same(leftovers(daemon.folder), [])
  t.same(readdirSync(join(daemon.folder, 'exec')), [])
})

t.test('isolation can be chosen: a process for each of many ports, or one for a few', async (t) => {
  const daemon = await startDaemon(t)
  const { view } = await publishRange(t, daemon, 'process')
  t.equal(view.isolation, 'process')
  t.equal(pidsOf(view).length, PORTS)
  await daemon.client.remove('range')
  const echo = await startEcho(t)
  const two = await daemon.cli(
    ...['add', '--isolation', 'shared', '--name', 'two', '--format', 'json'],
    ...['-p', `127.0.0.1::${echo.port}`, '-p', `127.0.0.1::${echo.port}/udp`, '127.0.0.1'],
  )
  t.match(two, { code: 0, stderr: '' })
  const shared = JSON.parse(two.stdout) as PublicationView
  t.match(shared, { isolation: 'shared' })
  t.equal(pidsOf(shared).length, 1)
  t.equal(await exchange(t, shared.ports[0]?.hostPort ?? 0, 'x'), 'x')
})

t.test('the one process is killed under load: clients wait for the next', async (t) => {
  const daemon = await startDaemon(t)
  const { view, ports } = await publishRange(t, daemon)
  let pid = pidsOf(view)[0] ?? 0
  for (let times = 0; times < 3; times++) {
    process.kill(pid, 'SIGKILL')
    // At once, whatever is printed there.
    const answers = await Promise.all(ports.map((port) => exchange(t, port, 'waited')))
    t.ok(answers.every((answer) => answer === 'waited'))
    const old = pid
    await until(async () => {
      pid = pidsOf(await daemon.client.get('range'))[0] ?? old
      return pid !== old
    })
  }
  t.match((await daemon.client.get('range')).ports[0], { restarts: 3, state: 'up' })
})

t.test('the daemon is killed under load and started again: the range goes on', async (t) => {
  let daemon = await startDaemon(t)
  const { view, ports } = await publishRange(t, daemon)
  const held = await dial(t, ports[0] ?? 0)
  for (let times = 0; times < 2; times++) {
    await daemon.end('SIGKILL')
    for (const port of ports) t.equal(await exchange(t, port, 'alone'), 'alone')
    daemon = await daemon.again()
    t.same(pidsOf(await daemon.client.get('range')), pidsOf(view))
  }
  held.write('still there')
  t.equal(String((await once(held, 'data'))[0]), 'still there')
  // The daemon holds the sockets again, so clients wait.
  process.kill(pidsOf(view)[0] ?? 0, 'SIGKILL')
  t.equal(await exchange(t, ports[1] ?? 0, 'waited'), 'waited')
})

t.test('a daemon that finds the process gone starts another', async (t) => {
  const daemon = await startDaemon(t)
  const { view, ports } = await publishRange(t, daemon)
  await daemon.end('SIGKILL')
  process.kill(pidsOf(view)[0] ?? 0, 'SIGKILL')
  const again = await daemon.again()
  await until(async () =>
    (await again.client.get('range')).ports.every(({ state }) => state === 'up'),
  )
  t.equal(await exchange(t, ports[7] ?? 0, 'x'), 'x')
  await again.end('SIGTERM')
  t.same(leftovers(daemon.folder), [])
})

t.test('a range of which one port is taken is refused, and nothing of it stays', async (t) => {
  const daemon = await startDaemon(t)
  const first = freeRow(PORTS)
  const holder = createServer().listen(first + 7, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const range = `${first}-${first + PORTS - 1}`
  await t.rejects(daemon.client.add({ backend: BACKEND, ports: [`127.0.0.1:${range}:${range}`] }), {
    code: 'port-in-use',
  })
  t.same(await daemon.client.list(), [])
  t.same(leftovers(daemon.folder), [])
  await t.rejects(exchange(t, first, 'x'), { code: 'ECONNREFUSED' })
})

t.test(
  "Docker's own docker-proxy can't be shared",
  { skip: !existsSync(ORIGINAL) && 'docker.io is not here' },
  async (t) => {
    const daemon = await startDaemon(t, {}, '--proxy-path', ORIGINAL)
    const { view } = await publishRange(t, daemon)
    t.equal(view.isolation, 'process', 'auto does without')
    const refused = await daemon.cli('add', '--isolation', 'shared', '-p', '80', '127.0.0.1')
    t.equal(refused.code, 2)
    t.match(
      refused.stderr,
      `isolation "shared" is not possible with ${ORIGINAL}, which serves one port: use`,
    )
  },
)

t.test("dockerd's ports stand beside ours", async (t) => {
  // The table has a line for each container. Proxies of other tests have other addresses.
  const echo = await startEcho(t, '127.82.0.1')
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  const daemon = await startDaemon(t, {}, '--proxyd-run-dir', proxyd.folder)
  await daemon.client.add({ name: 'ours', backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
  const held = await dial(t, launcher.port)
  held.write('1234')
  await once(held, 'data')
  const { stdout } = await daemon.cli('ls', '--all')
  const [head, ours, ...others] = stdout.split('\n')
  const theirs = others.find((line) => line.includes(echo.ip))
  t.match(head, /^NAME +BACKEND +PORTS +STATUS +CONNECTIONS +NET I\/O +UPTIME$/)
  t.match(
    ours,
    /^ours +127\.0\.0\.1 +127\.0\.0\.1:\d+->80\/tcp +up +0 +0B \/ 0B +(\d+ seconds?|Less than a second)$/,
  )
  t.match(
    theirs,
    new RegExp(
      `^\\(docker\\) +${echo.ip} +127.0.0.1:${launcher.port}->${echo.port}/tcp +up +1 +4B / 4B +(\\d+ seconds?|Less than a second)$`,
    ),
  )
  const listAll = async (): Promise<{ publications: unknown; dockerPorts: { pid: number }[] }> =>
    JSON.parse((await daemon.cli('ls', '--all', '--format', 'json')).stdout) as never
  const { publications, dockerPorts } = await listAll()
  t.match(publications, [{ name: 'ours' }])
  t.match(
    dockerPorts.filter(({ pid }) => pid === launcher.pid),
    [{ hostPort: launcher.port, connections: 1, bytesIn: 4 }],
  )
  const inspected = await daemon.cli('inspect', 'ours', `127.0.0.1:${launcher.port}/tcp`)
  t.match(JSON.parse(inspected.stdout), [{ name: 'ours' }, { pid: launcher.pid, accepted: 1 }])
  t.match(await daemon.cli('inspect', '127.0.0.1:1/tcp'), {
    code: 125,
    stderr:
      'no such publication: 127.0.0.1:1/tcp (published: ours); it is not a port of dockerd either: docker-publish ls --all lists them\n',
  })
  await stop(launcher)
  t.notOk((await listAll()).dockerPorts.some(({ pid }) => pid === launcher.pid))
})

t.test('a docker-proxyd that does not answer is not taken for none', async (t) => {
  const proxyd = await startProxyd(t)
  const { folder } = proxyd
  const daemon = await startDaemon(t, {}, '--proxyd-run-dir', folder)
  await daemon.client.add({ name: 'ours', backend: '127.0.0.1', ports: ['127.0.0.1::80'] })
  proxyd.child.kill('SIGSTOP')
  const hung = await daemon.cli('ls', '--all')
  t.match(hung, { code: 125, stdout: /^ours /m })
  t.equal(hung.stderr, `docker-proxyd does not answer on ${folder}/socket: it does not reply\n`)
  proxyd.child.kill('SIGKILL')
  await proxyd.exit
  t.equal(
    (await daemon.cli('ls', '--all')).stderr,
    `docker-proxyd does not answer on ${folder}/socket: connection refused\n`,
  )
})

t.test('its own publications take descriptors as well: clients wait for their turn', async (t) => {
  const DESCRIPTORS = 160
  const OTHERS = 60
  const echo = await startEcho(t)
  const runDir = runFolder(t)
  const flags = ['--proxyd', '--proxyd-run-dir', runDir]
  const daemon = await startDaemon(t, { descriptors: DESCRIPTORS }, ...flags)
  const { pid } = daemon.running
  const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: runDir } })
  t.equal(await launcher.status, READY)
  const port = (await daemon.client.dockerPorts()).find((each) => each.pid === launcher.pid)
  const others = Array.from({ length: OTHERS }, (_, i) => `127.0.0.1::${i + 1}`)
  await daemon.client.add({ backend: BACKEND, ports: others, isolation: 'shared' })
  const clients = await Promise.all(Array.from({ length: 80 }, () => dial(t, port?.hostPort ?? 0)))
  const { promise: mayEnd, resolve: letEnd } = deferred()
  const answers = clients.map(async (client, i) => {
    client.write(`client ${i}`)
    await mayEnd
    client.end()
    return readAll(client)
  })
  await until(() => openDescriptors(pid) > DESCRIPTORS - 32)
  const { name } = await daemon.client.add({ backend: BACKEND, ports: ['127.0.0.1::80'] })
  t.ok(name, 'what is kept free is enough for another publication')
  letEnd()
  t.same(
    await Promise.all(answers),
    clients.map((_, i) => `client ${i}`),
  )
  t.match(await stop(launcher), { code: 0 })
})

t.test('a daemon can be the docker-proxyd itself', async (t) => {
  const echo = await startEcho(t)
  const folder = t.testdir()
  const runDir = join(folder, 'proxyd')
  const daemon = await startDaemon(t, {}, '--proxyd', '--proxyd-run-dir', runDir)
  const holder = createServer().listen(0, '127.0.0.1')
  await once(holder, 'listening')
  const { port } = holder.address() as AddressInfo
  holder.close()
  await once(holder, 'close')
  const launcher = run(t, proxyFlags(echo, { port }), { env: { DOCKER_PROXY_RUN_DIR: runDir } })
  t.equal(await launcher.status, READY)
  t.equal(await exchange(t, port, 'x'), 'x')
  const served = (await daemon.client.dockerPorts()).find(({ pid }) => pid === launcher.pid)
  t.match(served, { accepted: 1 })
  t.match(await stop(launcher), { code: 0 })
  t.match(await daemon.end('SIGTERM'), { code: 0 })
  t.same(readdirSync(runDir), ['control'])
})
