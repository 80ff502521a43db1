import { writeFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kill } from '../../lib/proc.js'
import { missing, ORIGINAL, run, stop } from '../../lib/program.js'
import { PUBLISH, publish, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { refuses } from '../../lib/released.js'
import { dial, exchange, isAnswered, readBytes, startEcho } from '../../lib/sockets.js'
import { ownProcess } from '../../lib/target.js'
import { until } from '../../lib/until.js'

/* Options of published ports: what users give reaches every proxy, and stays. */

const ONE_CLIENT = ['--max-connections', '1', '--when-full', 'refuse']

/** Whether a second client of a port is served while the first one is connected. */
async function servesTwo(t: Test, port: number): Promise<boolean> {
  const [first, second] = [await dial(t, port), await dial(t, port)]
  first.write('x')
  await readBytes(first, 1)
  second.write('y')
  const isServed = await isAnswered(second)
  for (const client of [first, second]) client.destroy()
  return isServed
}

async function portOf({ client }: TestDaemon, name: string): Promise<number> {
  return (await client.get(name)).ports[0]?.hostPort ?? 0
}

t.test('the options of add reach the proxy, and the next one', async (t) => {
  const daemon = await startDaemon(t)
  const { ip, port: containerPort } = await startEcho(t)
  for (const isolation of ['process', 'shared']) {
    const added = await daemon.cli(
      ...['add', '-p', `127.0.0.1::${containerPort}`, '--name', isolation],
      ...['--isolation', isolation, ...ONE_CLIENT, ip],
    )
    t.match(added, { code: 0, stderr: '' })
    const port = await portOf(daemon, isolation)
    t.equal(await servesTwo(t, port), false)
    await until(async () => (await daemon.client.get(isolation)).ports[0]?.connections === 0)
    t.match(await daemon.client.get(isolation), {
      options: { 'max-connections': '1', 'when-full': 'refuse' },
      ports: [{ accepted: 1, excessClients: 1, deniedClients: 0 }],
    })
    const { pid } = (await daemon.client.get(isolation)).ports[0] ?? {}
    kill(pid)
    await until(async () => (await daemon.client.get(isolation)).ports[0]?.restarts === 1)
    t.equal(await servesTwo(t, port), false, 'after a restart')
  }
})

t.test('the next daemon has them, too', async (t) => {
  const dataRoot = t.testdir()
  const { ip, port: containerPort } = await startEcho(t)
  const first = await startDaemon(t, { dataRoot })
  await first.cli('add', '-p', `127.0.0.1::${containerPort}`, '--name', 'web', ...ONE_CLIENT, ip)
  await stop(first.running)
  const second = await startDaemon(t, { dataRoot })
  await until(async () => (await second.client.get('web')).ports[0]?.state === 'up')
  t.match(await second.client.get('web'), { options: { 'max-connections': '1' } })
  t.equal(await servesTwo(t, await portOf(second, 'web')), false)
})

t.test('without options, nothing is limited', async (t) => {
  const daemon = await startDaemon(t)
  const { ip, port: containerPort } = await startEcho(t)
  await daemon.cli('add', '-p', `127.0.0.1::${containerPort}`, '--name', 'web', ip)
  t.equal((await daemon.client.get('web')).options, undefined)
  t.equal(await servesTwo(t, await portOf(daemon, 'web')), true)
})

t.test('the access log has a line for each connection', async (t) => {
  const daemon = await startDaemon(t)
  const { ip, port: containerPort } = await startEcho(t)
  const args = ['-p', `127.0.0.1::${containerPort}`, '--name', 'web', '--access-log', 'on', ip]
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const port = await portOf(daemon, 'web')
  t.equal(await exchange(t, port, 'hello'), 'hello')
  await daemon.client.remove('web')
  await stop(daemon.running)
  const line = (await daemon.running.stderr)
    .split('\n')
    .find((each) => each.includes('Connection closed'))
  t.match(JSON.parse(line ?? '{}'), {
    ...{ level: 30, port: `127.0.0.1:${port}/tcp`, backend: `${ip}:${containerPort}` },
    ...{ bytesIn: 5, bytesOut: 5, ending: 'finished', active: 1 },
  })
})

t.test('the access log also has starts, and a share of the connections', async (t) => {
  const daemon = await startDaemon(t)
  const { ip, port: containerPort } = await startEcho(t)
  const publishWith = async (name: string, log: string): Promise<number> => {
    const args = ['-p', `127.0.0.1::${containerPort}`, '--name', name, '--access-log', log, ip]
    t.match(await daemon.cli('add', ...args), { code: 0 })
    return portOf(daemon, name)
  }
  const [all, some] = [await publishWith('all', 'start'), await publishWith('some', '50%')]
  for (let i = 0; i < 200; i++) await exchange(t, some, 'x')
  t.equal(await exchange(t, all, 'hello'), 'hello')
  for (const name of ['all', 'some']) await daemon.client.remove(name)
  await stop(daemon.running)
  const lines = (await daemon.running.stderr)
    .split('\n')
    .filter((line) => /Connection (opened|closed)/.test(line))
    .map((line) => JSON.parse(line) as { msg: string; port: string; client: string })
  const ofAll = lines.filter(({ port }) => port === `127.0.0.1:${all}/tcp`)
  t.match(ofAll, [
    { msg: 'Connection opened', backend: `${ip}:${containerPort}`, active: 1 },
    { msg: 'Connection closed', bytesIn: 5 },
  ])
  t.equal(ofAll[0]?.client, ofAll[1]?.client)
  const { length } = lines.filter(({ port }) => port === `127.0.0.1:${some}/tcp`)
  // By chance it is outside of this once in 10^12 runs.
  t.ok(length > 50 && length < 150, String(length))
})

t.test('set changes the options of open ports, and of their next process', async (t) => {
  const dataRoot = t.testdir()
  const daemon = await startDaemon(t, { dataRoot })
  const { ip, port: containerPort } = await startEcho(t)
  for (const isolation of ['process', 'shared']) {
    const args = ['--name', isolation, '--isolation', isolation, '--max-connections', '1']
    const spec = ['-p', `127.0.0.1::${containerPort}`]
    t.match(await daemon.cli('add', ...spec, ...args, '--when-full', 'refuse', ip), { code: 0 })
    const port = await portOf(daemon, isolation)
    const client = await dial(t, port)
    client.write('x')
    await readBytes(client, 1)
    const before = (await daemon.client.get(isolation)).ports[0]

    t.match(await daemon.cli('set', isolation, '--max-connections', '3'), {
      ...{ code: 0, stdout: `${isolation}\n`, stderr: '' },
    })
    t.equal(await servesTwo(t, port), true)
    client.write('still open')
    t.equal(await readBytes(client, 10), 'still open')
    t.match(await daemon.client.get(isolation), {
      options: { 'max-connections': '3', 'when-full': 'refuse' },
      ports: [{ pid: before?.pid, restarts: 0 }],
    })
    kill(before?.pid)
    await until(async () => (await daemon.client.get(isolation)).ports[0]?.restarts === 1)
    t.equal(await servesTwo(t, port), true, 'the next process has them, too')
    t.match(await daemon.cli('set', isolation, '--max-connections', '1'), { code: 0 })
    t.equal(await servesTwo(t, port), false)
  }
  await stop(daemon.running)
  t.equal((await daemon.running.stderr).match(/"changed"|changed/g)?.length, 4)
  const next = await startDaemon(t, { dataRoot })
  await until(async () => (await next.client.get('shared')).ports[0]?.state === 'up')
  t.equal(await servesTwo(t, await portOf(next, 'shared')), false, 'and the next daemon')
})

t.test('the settings file is read again', async (t) => {
  const file = join(t.testdir(), 'settings.json')
  const write = (settings: object): void => writeFileSync(file, JSON.stringify(settings))
  write({})
  const daemon = await startDaemon(t, { env: { DOCKER_PROXY_CONFIG: file } })
  const { ip, port: containerPort } = await startEcho(t)
  const spec = ['-p', `127.0.0.1::${containerPort}`]
  t.match(await daemon.cli('add', ...spec, '--name', 'web', ip), { code: 0 })
  const port = await portOf(daemon, 'web')
  t.equal(await servesTwo(t, port), true)
  let log = ''
  daemon.running.child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  write({ 'max-connections': 1, 'when-full': 'refuse' })
  daemon.running.child.kill('SIGHUP')
  await until(() => log.includes('The proxies have read their settings again'))
  t.equal(await servesTwo(t, port), false)

  write({ 'max-connections': 'many' })
  daemon.running.child.kill('SIGHUP')
  await until(() => /web keeps its options: .*max-connections/.test(log))
  t.match(await daemon.cli('set', 'web', '--max-connections', '5'), { code: 0 }, 'it comes first')
  t.match(await daemon.cli('set', 'web', '--access-log', 'on'), { code: 0 })
  write({ 'max-connections': 'many', allow: 'x' })
  t.match(await daemon.cli('set', 'web', '--max-connections', '6'), {
    code: 125,
    stderr: /^web keeps its options: invalid setting .*"allow" in /,
  })
  t.match((await daemon.client.get('web')).options, { 'max-connections': '5' })
  t.equal(await servesTwo(t, port), true)
  write({})
})

t.test('what set can not change is refused', async (t) => {
  const daemon = await startDaemon(t)
  const args = ['-p', '127.0.0.1::80', '--name', 'web', '--allow', '127.0.0.1', '127.0.0.1']
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const set = (...rest: string[]) => daemon.cli('set', ...rest)
  t.match(await set('web'), { code: 2, stderr: /expected an option to change, for example/ })
  t.match(await set('wep', '--allow', 'off'), { code: 125, stderr: /no such publication: wep/ })
  t.match(await set('web', '--allow', 'x'), { code: 2, stderr: /invalid --allow "x": expected/ })
  t.match(await set('web', '--send-proxy', 'v2'), {
    code: 2,
    stderr: /send-proxy can't change while the port is open: withdraw web, and add it again /,
  })
  t.match(await set('web', '--send-proxy', 'off', '--deny', '10.0.0.1'), { code: 0 })
  await t.rejects(daemon.client.set('web', {}), { message: /expected an option to change/ })
  t.strictSame((await daemon.client.get('web')).options, { allow: '127.0.0.1', deny: '10.0.0.1' })
})

t.test('rm --drain lets open connections end by themselves', async (t) => {
  const daemon = await startDaemon(t)
  const { ip, port: containerPort } = await startEcho(t)
  const clients: Socket[] = []
  const names = ['process', 'shared']
  for (const isolation of names) {
    const args = ['--name', isolation, '--isolation', isolation, ip]
    t.match(await daemon.cli('add', '-p', `127.0.0.1::${containerPort}`, ...args), { code: 0 })
    const client = await dial(t, await portOf(daemon, isolation))
    client.write('x')
    await readBytes(client, 1)
    clients.push(client)
  }
  const ports = await Promise.all(names.map((name) => portOf(daemon, name)))
  const removing = daemon.cli('rm', '--drain', '1h', ...names)
  for (const port of ports) await until(() => refuses(port))
  for (const client of clients) {
    client.write('still open')
    t.equal(await readBytes(client, 10), 'still open')
    client.end()
  }
  const { code, stdout } = await removing
  t.equal(code, 0)
  t.strictSame(stdout.trim().split('\n').sort(), names)
  const args = ['-p', `127.0.0.1::${containerPort}`, '--name', 'again', ip]
  t.match(await daemon.cli('add', ...args), { code: 0 })
  const port = await portOf(daemon, 'again')
  const client = await dial(t, port)
  client.write('x')
  await readBytes(client, 1)
  const slow = daemon.cli('rm', '--drain', '1h', 'again')
  await until(() => refuses(port))
  t.match(await daemon.cli('rm', 'again'), { code: 0 }, 'a second one has less patience')
  t.match(await slow, { code: 0 })
  t.equal(await isAnswered(client), false)
  const last = ['-p', `127.0.0.1::${containerPort}`, '--name', 'last', ip]
  t.match(await daemon.cli('add', ...last), { code: 0 })
  const waiting = await dial(t, await portOf(daemon, 'last'))
  waiting.write('x')
  await readBytes(waiting, 1)
  const command = `${PUBLISH} rm --drain 1h last -H ${daemon.host}`
  const terminal = run(t, ['-qfec', command, '/dev/null'], { program: 'script', status: 'ignore' })
  let text = ''
  terminal.child.stdout?.on('data', (chunk: Buffer) => (text += chunk.toString()))
  await until(() => text.includes('still open'))
  t.match(text, /1 connection is still open, and is cut in \d+ minutes$/, 'a terminal shows it')
  waiting.end()
  t.match(await terminal.exit, { code: 0 })
  await until(() => text.endsWith('\r\x1b[Klast\r\n'))
  t.match(await daemon.cli('rm', '--drain', 'soon', 'x'), {
    code: 2,
    stderr: /invalid --drain "soon": expected a time of at most 1h with its unit, /,
  })
})

t.test('SIGUSR2 has a docker-proxy read its settings file again', async (t) => {
  const file = join(t.testdir(), 'settings.json')
  writeFileSync(file, '{}')
  const echo = await startEcho(t)
  const env = { DOCKER_PROXY_CONFIG: file, DOCKER_PROXY_LOG_FORMAT: 'json' }
  const { pid, port, child } = await ownProcess.startProxy(t, echo, { env })
  let log = ''
  child.stderr?.on('data', (chunk: Buffer) => (log += chunk.toString()))
  writeFileSync(file, '{"deny": "127.0.0.1"}')
  process.kill(pid, 'SIGUSR2')
  await until(() => log.includes('Has read the options of the port again'))
  t.equal(await isAnswered(await dial(t, port)), false)
  writeFileSync(file, '{"deny": ""')
  process.kill(pid, 'SIGUSR2')
  await until(() => log.includes('The port keeps its options: '))
  t.equal(await isAnswered(await dial(t, port)), false)
})

t.test('wrong options are refused, and nothing is published', async (t) => {
  const daemon = await startDaemon(t)
  const add = (...args: string[]) => daemon.cli('add', '-p', '127.0.0.1::80', ...args, '127.0.0.1')
  t.match(await add('--max-connections', 'many'), {
    code: 2,
    stderr: /invalid --max-connections "many": expected 1 to 1000000, or off\n/,
  })
  t.match(await add('--allow', '10.0.0.0/33'), {
    code: 2,
    stderr: /invalid --allow "10\.0\.0\.0\/33": expected addresses and networks, for example /,
  })
  t.match(await add('--max-connections', '5', '--via', 'nat'), {
    stderr: /the option max-connections is for a proxy, and with via nat the kernel forwards: /,
  })
  const udp = await daemon.cli('add', '-p', '53/udp', '--send-proxy', 'v1', '127.0.0.1')
  t.match(udp, { stderr: /the option send-proxy v1 is for TCP: use v2 for UDP, / })
  const full = await daemon.cli('add', '-p', '53/udp', '--when-full', 'wait', '127.0.0.1')
  t.match(full, { stderr: /the option when-full is not for UDP, / })
  t.match(await add('--no-access-log'), { code: 2, stderr: /unknown option --no-access-log: / })
  const networks = Array.from({ length: 2_000 }, () => '10.0.0.0/8').join()
  t.match(await add('--allow', networks), { code: 2, stderr: /at most 16384\n$/ })
  const request = { backend: '127.0.0.1', ports: ['127.0.0.1::80'], options: { speed: '1' } }
  await t.rejects(daemon.client.add(request), { message: /^unknown option "speed": expected / })
  t.match(await daemon.cli('add', '--allow', '10.0.0.1', 'web'), {
    code: 2,
    stderr: /--allow is for ports to publish: give -p, --all or -P/,
  })
  t.same(await daemon.client.list(), [])
})

const skip = missing(ORIGINAL, 'docker.io')
t.test('options of all ports are no options of the kernel', async (t) => {
  const daemon = await startDaemon(t, { env: { DOCKER_PROXY_ALLOW: '127.0.0.1' } })
  const args = ['add', '-p', '127.0.0.1::80', '--via', 'nat', '127.0.0.1']
  t.match(await daemon.cli(...args), { stderr: /: all ports of this daemon have limits or / })
  t.same(await daemon.client.list(), [])
})

t.test("Docker's own docker-proxy has none", { skip }, async (t) => {
  const args = ['run', '-p', '127.0.0.1::80', '--proxy-path', ORIGINAL, '--allow', '10.0.0.1']
  t.match(await publish(t, [...args, '127.0.0.1']), {
    code: 2,
    stderr: /Docker's own docker-proxy has no option allow: /,
  })
})
