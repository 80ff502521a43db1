import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { sendRequest } from '../../../src/status/status-socket.js'
import { bindUdp, receive, startUdpEcho } from '../../lib/datagrams.js'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { inCleanEnvironment, proxyFlags, READY, run, stop } from '../../lib/program.js'
import { PROXYD, startProxyd, untilAsked } from '../../lib/proxyd.js'
import { dial, exchange, readAll, readBytes, startEcho } from '../../lib/sockets.js'
import { refuses } from '../../lib/released.js'
import { until } from '../../lib/until.js'

t.test('a port that is withdrawn while the old one waits ends there as well', async (t) => {
  const echo = await startEcho(t)
  const old = await startProxyd(t)
  const launcher = await old.publish(echo)
  const held = await dial(t, launcher.port)
  const next = await startProxyd(t, { folder: old.folder, args: ['--replace'] })
  await until(() => old.lines.some(({ msg }) => String(msg).startsWith('Replaced')))
  const closed = once(held.resume(), 'end')
  t.match(await stop(launcher), { code: 0 })
  await closed
  t.match(await old.exit, { code: 0 })
  t.match(await stop(next), { code: 0 })
})

t.test('datagrams go on through the new one', async (t) => {
  const echo = await startUdpEcho(t)
  const old = await startProxyd(t)
  const flags = proxyFlags(echo).map((flag) => (flag === 'tcp' ? 'udp' : flag))
  const launcher = await old.publish(echo, { flags })
  const client = await bindUdp(t)
  const say = async (text: string): Promise<void> => {
    const answer = receive(client.socket)
    client.socket.send(text, launcher.port, '127.0.0.1')
    t.equal(String((await answer).data), text)
  }
  await say('to the old one')
  const next = await startProxyd(t, { folder: old.folder, args: ['--replace'] })
  await until(() => old.lines.some(({ msg }) => String(msg).startsWith('Replaced')))
  await say('to the new one')
  await until(async () => (await portsOf(next.folder))[0]?.bytesOut === 'to the new one'.length)
  t.match(await stop(old), { code: 0 })
})

t.test('datagrams: killed soon after it took the place, the next one has the port', async (t) => {
  const echo = await startUdpEcho(t)
  const old = await startProxyd(t)
  const [port] = [freeRow(1)]
  const flags = proxyFlags(echo, { port }).map((flag) => (flag === 'tcp' ? 'udp' : flag))
  const launcher = run(t, flags, { env: { DOCKER_PROXY_RUN_DIR: old.folder } })
  t.equal(await launcher.status, READY)
  const client = await bindUdp(t)
  const say = async (text: string): Promise<void> => {
    const answer = receive(client.socket)
    client.socket.send(text, port, '127.0.0.1')
    t.equal(String((await answer).data), text)
  }
  // A flow for which the old docker-proxyd waits.
  await say('to the old one')
  const next = await startProxyd(t, { folder: old.folder, args: ['--replace'] })
  await until(() => old.lines.some(({ msg }) => String(msg).startsWith('Replaced')))
  t.equal(old.child.exitCode, null)
  next.child.kill('SIGKILL')
  await next.exit
  const third = await startProxyd(t, { folder: old.folder })
  t.equal(await third.portOf(launcher.pid), port)
  await say('to the third')
  t.match(await old.exit, { code: 0 })
  t.match(await stop(launcher), { code: 0 })
})

async function portsOf(folder: string): Promise<{ bytesOut: number }[]> {
  const { value, connection } = await sendRequest(join(folder, 'socket'), 'ports')
  connection.destroy()
  return value as { bytesOut: number }[]
}

t.test('SIGUSR2 replaces it by the installed version', async (t) => {
  const echo = await startEcho(t)
  const old = await startProxyd(t)
  const launcher = await old.publish(echo)
  old.child.kill('SIGUSR2')
  t.match(await old.exit, { code: 0 })
  const pid = Number(readFileSync(join(old.folder, 'pid'), 'utf8'))
  t.teardown(() => kill(pid))
  t.not(pid, old.pid)
  t.equal(await exchange(t, launcher.port, 'served'), 'served')
})

t.test('a port that drains while it is replaced keeps its connection, and closes', async (t) => {
  const echo = await startEcho(t)
  const old = await startProxyd(t)
  const other = await old.publish(echo)
  const draining = await old.publish(echo, { env: { DOCKER_PROXY_DRAIN: '1h' } })
  const client = await dial(t, draining.port)
  client.write('before')
  t.equal(await readBytes(client, 6), 'before')
  draining.child.kill('SIGTERM')
  await until(() => refuses(draining.port))
  const next = await startProxyd(t, { folder: old.folder, args: ['--replace'] })
  t.equal(await exchange(t, other.port, 'served'), 'served')
  client.write('after')
  t.equal(await readBytes(client, 5), 'after')
  t.same(await draining.exit, { code: 0, signal: null })
  await until(() => refuses(draining.port))
  client.end()
  t.equal(await readAll(client), '')
  t.match(await old.exit, { code: 0 })
  t.match(await stop(next), { code: 0 })
})

t.test('a successor that gives up changes nothing', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  const path = join(proxyd.folder, 'socket')
  const { value, connection } = await sendRequest(path, 'replace')
  t.match(value, { pid: proxyd.pid, ports: [{ launcher: launcher.pid }] })
  const { value: second, connection: other } = await sendRequest(path, 'replace')
  t.match(second, { error: /another process is taking over/ })
  other.destroy()
  const waiting = proxyd.publish(echo)
  connection.destroy()
  t.equal(
    await exchange(t, (await waiting).port, 'x'),
    'x',
    'a launcher that came meanwhile is served',
  )
  t.equal(await exchange(t, launcher.port, 'x'), 'x')
  const again = await startProxyd(t, { folder: proxyd.folder, args: ['--replace'] })
  t.match(await proxyd.exit, { code: 0 })
  t.match(await stop(again), { code: 0 })
})

t.test('a stop during a takeover leaves no launcher waiting', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const { connection } = await sendRequest(join(proxyd.folder, 'socket'), 'replace')
  t.teardown(() => connection.destroy())
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder }
  const launcher = run(t, proxyFlags(echo), { env })
  await untilAsked([launcher])
  proxyd.child.kill('SIGTERM')
  connection.destroy()
  t.equal(await launcher.status, READY, 'it serves its port itself')
  t.match(await proxyd.exit, { code: 0 })
  t.match(await stop(launcher), { code: 0 })
})

t.test('one that does not answer is not replaced, nor waited for for ever', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  proxyd.child.kill('SIGSTOP')
  const next = run(t, ['--run-dir', proxyd.folder, '--replace'], { program: PROXYD })
  t.match(await next.stderr, /^docker-proxyd: another docker-proxyd uses .*: stop it, or name/)
  t.match(await next.exit, { code: 1 })
  proxyd.child.kill('SIGCONT')
  t.equal(await exchange(t, launcher.port, 'x'), 'x')
})

t.test('--replace where none runs is a start', async (t) => {
  const proxyd = await startProxyd(t, { args: ['--replace'] })
  const echo = await startEcho(t)
  const { port } = await proxyd.publish(echo)
  t.equal(await exchange(t, port, 'x'), 'x')
})

t.test('the status socket lists each port with connections and bytes', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  t.equal(await exchange(t, launcher.port, 'four'), 'four')
  const held = await dial(t, launcher.port)
  held.write('12345')
  await once(held, 'data')
  const path = join(proxyd.folder, 'socket')
  const { value, connection } = await sendRequest(path, 'ports')
  connection.destroy()
  t.match(value, [
    {
      pid: launcher.pid,
      protocol: 'tcp',
      hostIp: '127.0.0.1',
      hostPort: launcher.port,
      containerIp: echo.ip,
      containerPort: echo.port,
      accepted: 2,
      active: 1,
      failedDials: 0,
      bytesIn: 9,
      bytesOut: 9,
    },
  ])
})

t.test(
  'an unknown request is answered with the known ones, and garbage is disconnected',
  async (t) => {
    const proxyd = await startProxyd(t)
    const path = join(proxyd.folder, 'socket')
    const { value, connection } = await sendRequest(path, 'toString')
    t.same(value, { error: 'expected ports, replace, done' })
    connection.destroy()
    const { value: notAsked, connection: other } = await sendRequest(path, 'done')
    t.match(notAsked, { error: /send replace first/ })
    other.destroy()
    const socket = connect(path)
    socket.on('error', () => undefined)
    const closed = new Promise((done) => socket.once('close', done))
    socket.write('x'.repeat(100_000))
    await closed
    t.match(await stop(proxyd), { code: 0 })
  },
)

t.test('ports come and go while it is replaced: none hangs, none is lost', async (t) => {
  const echo = await startEcho(t)
  let proxyd = await startProxyd(t)
  const { folder } = proxyd
  let isOver = false
  let turns = 0
  const churn = Array.from({ length: 4 }, async () => {
    for (; !isOver; turns++) {
      const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: folder } })
      if ((await launcher.status) !== READY) throw new Error('not ready')
      const { code } = await stop(launcher)
      if (code !== 0) throw new Error(`ended with ${String(code)}`)
    }
  })
  for (let times = 0; times < 6; times++) {
    const before = turns
    await until(() => turns > before + 8)
    const next = await startProxyd(t, { folder, args: ['--replace'] })
    t.match(await proxyd.exit, { code: 0 })
    proxyd = next
  }
  isOver = true
  await Promise.all(churn)
  t.same(await portsOf(folder), [])
})

t.test('the old one is killed in the middle: the new one has all of it', async (t) => {
  const echo = await startEcho(t)
  for (let times = 0; times < 3; times++) {
    const old = await startProxyd(t)
    const launchers = await Promise.all(Array.from({ length: 40 }, () => old.publish(echo)))
    const starting = startProxyd(t, { folder: old.folder, args: ['--replace'] })
    // As soon as the request has been sent.
    await until(() => readFileSync(join(old.folder, 'pid'), 'utf8') !== `${old.pid}\n`)
    old.child.kill('SIGKILL')
    const next = await starting
    await until(async () => (await portsOf(next.folder)).length === launchers.length)
    for (const { port } of launchers) t.equal(await exchange(t, port, 'x'), 'x')
    for (const launcher of launchers) t.match(await stop(launcher), { code: 0 })
  }
})

t.test('a new one that can not have as many descriptors leaves all to the old one', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launchers = await Promise.all(Array.from({ length: 60 }, () => proxyd.publish(echo)))
  const command = `ulimit -n 80; exec ${PROXYD} --run-dir ${proxyd.folder} --replace`
  const next = run(t, ['-c', command], { program: '/bin/sh' })
  t.match(await next.exit, { code: 1 })
  for (const { port } of launchers) t.equal(await exchange(t, port, 'x'), 'x')
  for (const launcher of launchers) t.match(await stop(launcher), { code: 0 })
})

t.test('after a takeover there is room for as many connections as before', async (t) => {
  const echo = await startEcho(t)
  const old = await startProxyd(t, { descriptors: 600 })
  const launchers = await Promise.all(Array.from({ length: 100 }, () => old.publish(echo)))
  const next = await startProxyd(t, {
    folder: old.folder,
    args: ['--replace'],
    descriptors: 600,
  })
  t.match(await old.exit, { code: 0 })
  const clients = await Promise.all(launchers.map(({ port }) => dial(t, port)))
  for (const client of clients) {
    client.write('x')
    await once(client, 'data')
  }
  t.notOk(next.lines.some(({ msg }) => String(msg).startsWith('Out of file descriptors')))
})

t.test('a closed stdout does not stop the start', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(echo)
  const [command, args] = inCleanEnvironment(PROXYD, ['--run-dir', proxyd.folder, '--replace'])
  const next = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  t.teardown(() => next.kill('SIGKILL'))
  next.stdout.destroy()
  t.match(await proxyd.exit, { code: 0 })
  t.equal(await exchange(t, launcher.port, 'x'), 'x')
})

t.test(
  "a replaced docker-proxyd that is stopped does not touch its successor's ports",
  async (t) => {
    const echo = await startEcho(t)
    const old = await startProxyd(t)
    const early = await old.publish(echo)
    const held = await dial(t, early.port)
    held.write('held')
    await once(held, 'data')
    const next = await startProxyd(t, { folder: old.folder, args: ['--replace'] })
    const late = await next.publish(echo)
    t.match(await stop(old), { code: 0 })
    for (const { port } of [early, late]) t.equal(await exchange(t, port, 'still'), 'still')
    for (const launcher of [early, late]) {
      t.match(readFileSync(`/proc/${launcher.pid}/cmdline`, 'latin1'), /^\/bin\/sh\0/)
      t.match(await stop(launcher), { code: 0 })
    }
    held.destroy()
    t.match(await stop(next), { code: 0 })
  },
)
