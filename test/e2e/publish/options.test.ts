import t, { type Test } from 'tap'
import { kill } from '../../lib/proc.js'
import { missing, ORIGINAL, stop } from '../../lib/program.js'
import { publish, startDaemon, type TestDaemon } from '../../lib/publish.js'
import { dial, exchange, isAnswered, readBytes, startEcho } from '../../lib/sockets.js'
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
  const udp = await daemon.cli('add', '-p', '53/udp', '--send-proxy', 'v2', '127.0.0.1')
  t.match(udp, { stderr: /the option send-proxy is for TCP, and a port is udp: / })
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
