import { once } from 'node:events'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type Socket } from 'node:net'
import { join } from 'node:path'
import t from 'tap'
import { startProxyd } from '../../lib/proxyd.js'
import { formatPublications } from '../../../src/cli/publication-table.js'
import { ask, bindUdp, startUdpEcho } from '../../lib/datagrams.js'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { notRoot, ORIGINAL, PROGRAM, run } from '../../lib/program.js'
import { leftovers, PUBLISH, startDaemon } from '../../lib/publish.js'
import { dial, exchange, readAll, startBackend, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('a proxy that is killed is replaced, and no client is refused', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const spec = `127.0.0.1::${echo.port}`
  const { ports } = await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: [spec] })
  const port = ports[0]?.hostPort ?? 0
  const pid = async (): Promise<number | undefined> => (await daemon.client.get('a')).ports[0]?.pid

  const held = await dial(t, port)
  held.write('x')
  await once(held, 'data')
  const lost = once(held, 'end')
  let answered = 0
  for (let i = 0; i < 1000; i++) {
    // The wait before a restart doubles, so there are few.
    if (i % 200 === 100) {
      await until(async () => (await pid()) !== undefined)
      kill(await pid())
    }
    if ((await exchange(t, port, `client ${i}`)) === `client ${i}`) answered++
  }
  t.equal(answered, 1000)
  await lost
  const [status] = (await daemon.client.get('a')).ports
  t.match(status, { state: 'up', restarts: 5, reason: 'signal 9' })
})

t.test('a proxy that keeps dying shows in the status', async (t) => {
  const daemon = await startDaemon(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: ['127.0.0.1::80'],
  })
  t.equal(ports.length, 1)
  let row = ''
  await until(async () => {
    const publications = await daemon.client.list()
    const status = publications[0]?.ports[0]
    if (status?.pid) kill(status.pid)
    row = formatPublications(publications)
    return status?.state === 'restarting' && status.restarts >= 2
  })
  t.match(row, /\/tcp +restarting \([2-9]\): signal 9 +0/)
  t.match(await daemon.cli('rm', 'a'), { code: 0 })
  t.same(leftovers(daemon.folder), [])
})

t.test('a shim that is killed takes its proxy along, and another one follows', async (t) => {
  const daemon = await startDaemon(t)
  const echo = await startEcho(t)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1::${echo.port}`],
  })
  const first = ports[0]?.pid ?? 0
  const [shim = 0] = leftovers(daemon.folder).filter((pid) => pid !== first)
  kill(shim)
  await until(async () => {
    const pid = (await daemon.client.get('a')).ports[0]?.pid
    return pid !== undefined && pid !== first
  })
  t.equal(await exchange(t, ports[0]?.hostPort ?? 0, 'hello'), 'hello')
  t.equal(leftovers(daemon.folder).length, 2, 'a shim and a proxy')
})

t.test(
  "Docker's own docker-proxy as the child",
  { skip: !existsSync(ORIGINAL) && 'docker.io is not here' },
  async (t) => {
    const daemon = await startDaemon(t, {}, '--proxy-path', ORIGINAL)
    const backend = await startBackend(t, (socket: Socket) => socket.end('hello'))
    const { ports } = await daemon.client.add({
      name: 'a',
      backend: '127.0.0.1',
      ports: [`127.0.0.1::${backend.port}`],
    })
    const [port] = ports
    const { hostPort = 0, pid = 0, holdsSocket } = port ?? {}
    // This release takes no listening socket, so clients are refused while it is replaced.
    t.equal(holdsSocket, false)
    t.match(readFileSync(`/proc/${pid}/cmdline`, 'utf8'), ORIGINAL)
    t.equal(await readAll(await dial(t, hostPort)), 'hello')
    kill(pid)
    await until(async () => (await daemon.client.get('a')).ports[0]?.restarts === 1)
    await until(async () => (await daemon.client.get('a')).ports[0]?.state === 'up')
    t.equal(await readAll(await dial(t, hostPort)), 'hello')
    await daemon.client.remove('a')
    t.same(leftovers(daemon.folder), [])
  },
)

t.test(
  'a port that is lost to another before the child has bound it gives way to the next',
  async (t) => {
    const folder = t.testdir()
    const tried = join(folder, 'tried')
    const child = join(folder, 'child')
    // The first start finds the port that the kernel may have given to a connection. Like a release before 28, it takes no socket.
    const script = `#!/bin/sh
if [ "$#" -lt 5 ]; then echo 'Usage: -container-port' >&2; exit 2; fi
if [ -e '${tried}' ]; then exec '${PROGRAM}-process' "$@"; fi
: >'${tried}'
printf '1\\nlisten tcp4 127.0.0.1:1: bind: address already in use' >&3
exit 1
`
    writeFileSync(child, script, { mode: 0o755 })
    const daemon = await startDaemon(t, {}, '--proxy-path', child)
    const backend = await startBackend(t, (socket: Socket) => socket.end('hello'))
    const add = (name: string, hostPort: string) =>
      daemon.client.add({
        name,
        backend: '127.0.0.1',
        ports: [`127.0.0.1:${hostPort}:${backend.port}`],
      })
    const { ports } = await add('any', '')
    t.equal(await readAll(await dial(t, ports[0]?.hostPort ?? 0)), 'hello')
    rmSync(tried)
    await t.rejects(add('one', String(freeRow(1))), { message: 'address already in use' })
    await daemon.client.remove('any')
  },
)

t.test('UDP flows are counted once, each with its own port', async (t) => {
  const daemon = await startDaemon(t)
  const udp = await startUdpEcho(t)
  const port = freeRow(1)
  await daemon.client.add({ name: 'a', backend: '127.0.0.1', ports: [`${port}:${udp.port}/udp`] })
  await ask(await bindUdp(t), port, 'x')
  const { ports } = await daemon.client.get('a')
  t.same(
    ports.map(({ hostIp, connections }) => [hostIp, connections]),
    [
      ['0.0.0.0', 1],
      ['::', 0],
    ],
  )
})

t.test('ls --all: ports of dockerd that wait for a docker-proxyd', async (t) => {
  const proxyd = await startProxyd(t)
  const daemon = await startDaemon(t, {}, '--proxyd-run-dir', proxyd.folder)
  const launcher = await proxyd.publish(await startEcho(t))
  t.match(await daemon.cli('ls', '--all'), { code: 0, stdout: /\(docker\)/ })
  proxyd.child.kill('SIGKILL')
  await proxyd.exit
  t.match(await daemon.cli('ls', '--all'), {
    code: 125,
    stdout: /^NAME/,
    stderr: `no docker-proxyd serves ${proxyd.folder}, and 1 port of dockerd waits for one since `,
  })
  launcher.child.kill('SIGKILL')
  await launcher.exit
  t.match(await daemon.cli('ls', '--all'), { code: 125, stderr: /does not answer/ })
})

t.test('a backend that refuses is shown', async (t) => {
  const daemon = await startDaemon(t)
  const backend = await startBackend(t, (socket: Socket) => socket.end())
  const port = freeRow(1)
  await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${port}:${backend.port}`],
  })
  await new Promise((closed) => backend.server.close(closed))
  for (let i = 0; i < 3; i++) t.equal(await readAll(await dial(t, port)), '')
  t.match((await daemon.cli('ls')).stdout, 'up, backend refuses (3 in 5 m)')
  t.match(await daemon.client.get('a'), {
    ports: [
      {
        state: 'up',
        ...{ accepted: 3, failedDials: 3, recentFailedDials: 3 },
        lastFailedDial: { reason: 'connection refused', time: /^2/ },
      },
    ],
  })
})

t.test(
  'ls --all without a daemon asks docker-proxyd itself',
  { skip: notRoot('to hide the daemon of this machine') },
  async (t) => {
    const proxyd = await startProxyd(t)
    const { port } = await proxyd.publish(await startEcho(t))
    const hidden = ['--mount', 'sh', '-c', 'mount -t tmpfs none /run && exec "$@"', 'sh']
    const running = run(t, [...hidden, PUBLISH, 'ls', '--all'], {
      program: 'unshare',
      env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
    })
    t.match(await running.stdout, `127.0.0.1:${port}->`)
    t.match(await running.stderr, /no daemon runs, so only ports of dockerd are listed/)
    t.match(await running.exit, { code: 0 })
  },
)

t.test('a restart is one line in the log, in the form that was chosen', async (t) => {
  const echo = await startEcho(t)
  const daemon = await startDaemon(t, {}, '--log-format', 'text')
  const port = freeRow(1)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${port}:${echo.port}`],
    isolation: 'process',
  })
  kill(ports[0]?.pid)
  await until(async () => {
    const [status] = (await daemon.client.get('a')).ports
    return status?.restarts === 1 && status.state === 'up'
  })
  t.equal(await exchange(t, port, 'again'), 'again')
  await daemon.end('SIGTERM')
  const lines = (await daemon.running.stderr).split('\n')
  t.equal(lines.filter((line) => line.includes('signal 9')).length, 1)
  t.same(
    lines.filter((line) => line.startsWith('{') || line.includes('Proxy listening')),
    [],
  )
})
