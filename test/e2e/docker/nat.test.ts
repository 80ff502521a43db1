import { execa } from 'execa'
import t, { type Test } from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { startNamespace } from '../../lib/namespace.js'
import { missingForDockerd, startOwnDockerd } from '../../lib/own-dockerd.js'
import { missing } from '../../lib/program.js'
import { until } from '../../lib/until.js'

/* Ports that the kernel translates beside the rules of a real dockerd. */

const HOST = '10.99.0.1'
const CLIENT = '10.99.0.2'

/** Repetitions. More are for the machine of whoever changes this. */
const SWAPS = Number(process.env['SWAPS'] ?? 6)

/** Asks which container answers, and which client it sees: `web_svr01 10.99.0.2`. @param address argument 1 @param port argument 2 */
const ASK = `
const [, address, port] = process.argv
let text = ''
const socket = require('node:net').connect(port, address, () => {
  socket.write('GET /cgi-bin/name HTTP/1.0\\r\\n\\r\\n')
})
socket.setTimeout(20_000, () => socket.destroy())
socket.on('data', (data) => (text += data)).on('error', () => undefined)
socket.on('close', () => {
  const [, name, client] = /name=(\\S+) client=(\\S+)/.exec(text) || []
  console.log(name ? name + ' ' + client.replace(/[[\\]]|::ffff:/g, '') : 'nobody')
})`

/** Asks one port without a pause, until its stdin ends, and prints how often each container answered. @param address argument 1 @param port argument 2 */
const ASK_ON = `
const [, address, port] = process.argv
const counts = {}
let isOver = false
process.stdin.on('end', () => (isOver = true)).resume()
const ask = () => {
  if (isOver) return console.log(JSON.stringify(counts))
  let text = ''
  const socket = require('node:net').connect(port, address, () => {
    socket.write('GET /cgi-bin/name HTTP/1.0\\r\\n\\r\\n')
  })
  socket.setTimeout(2_000, () => socket.destroy())
  socket.on('data', (data) => (text += data)).on('error', () => undefined)
  socket.on('close', () => {
    const [, name = 'nobody'] = /name=(\\S+)/.exec(text) || []
    counts[name] = (counts[name] || 0) + 1
    setTimeout(ask, 2)
  })
}
ask()`

const skip =
  missingForDockerd() || missing('/usr/sbin/nft', 'nftables') || missing('/usr/sbin/ip', 'iproute2')

t.test('beside the rules of a real dockerd', { skip }, async (t) => {
  const dockerd = await startOwnDockerd(t, '--live-restore')
  t.comment(`dockerd ${dockerd.version}`)
  const { docker } = dockerd
  const [command, ...enter] = dockerd.enter
  const sh = async (script: string): Promise<string> =>
    (await execa(command, [...enter, 'sh', '-ec', script])).stdout
  const client = await startNamespace(t)
  await sh(`
    ip link add c0 type veth peer name c1 netns ${client.pid}
    ip addr add ${HOST}/24 dev c0; ip link set c0 up`)
  await client.sh(`ip addr add ${CLIENT}/24 dev c1; ip link set c1 up`)

  const daemon = await dockerd.startDaemon('--live-restore')
  const run = (name: string, ...args: string[]): Promise<string> =>
    docker('run', '-d', '--name', name, '--hostname', name, ...args, IMAGE)
  const port = freeRow(1)
  const ask = (): Promise<string> => client.node(ASK, HOST, String(port))
  const add = (...args: string[]) =>
    daemon.cli('add', '-p', `${port}:80`, '--via', 'nat', '--name', 'web', ...args)
  const ownRules = async (): Promise<string[]> =>
    (await sh('nft list tables; iptables -S'))
      .split('\n')
      .filter((line) => /docker-publish/i.test(line))

  /** Stops containers. When docker says so, another container can get their addresses. */
  const stop = async (t: Test, ...names: string[]): Promise<void> => {
    const format = '{{.NetworkSettings.IPAddress}}'
    // The publication's container.
    const ip = await docker('inspect', '--format', format, 'web_svr01')
    t.match(await sh('nft list ruleset'), `${ip} . 80`)
    await docker('stop', '-t', '0', ...names)
    t.notOk((await sh('nft list ruleset')).includes(`${ip} . 80`), 'no rule leads there any more')
  }

  await run('web_svr01')
  await run('web_svr02')

  t.test('the container sees the client, as with a port of dockerd', async (t) => {
    t.match(await add('web_svr01'), { code: 0, stderr: '' })
    t.equal(await ask(), `web_svr01 ${CLIENT}`)
    t.equal(await dockerd.ask(port), 'web_svr01', 'loopback')
    for (const container of ['web_svr01', 'web_svr02']) {
      const gateway = '172.17.0.1'
      const page = `http://${gateway}:${port}/cgi-bin/name`
      t.match(await docker('exec', container, 'busybox', 'wget', '-qO-', page), 'name=web_svr01')
    }
  })

  t.test('a stopped container gets no traffic, and a started one gets it again', async (t) => {
    await stop(t, 'web_svr01')
    // The daemon learns of it from the kernel, as dockerd does.
    await until(async () => (await ownRules()).length === 0)
    t.equal(await ask(), 'nobody')
    await run('heir')
    t.equal(await ask(), 'nobody', 'its address belongs to another container')
    await docker('start', 'web_svr01')
    await until(async () => (await ask()) === `web_svr01 ${CLIENT}`)
    await docker('rm', '-f', 'heir')
  })

  t.test('two containers that swap their addresses: never the wrong one', async (t) => {
    const args = [`--target=${client.pid}`, '--net', '--', process.execPath]
    const asking = execa('nsenter', [...args, '-e', ASK_ON, HOST, String(port)], { stdin: 'pipe' })
    t.teardown(() => void asking.kill('SIGKILL'))
    for (let i = 0; i < SWAPS; i++) {
      await stop(t, 'web_svr01', 'web_svr02')
      const first = i % 2 === 0 ? 'web_svr02' : 'web_svr01'
      await docker('start', first)
      await docker('start', first === 'web_svr01' ? 'web_svr02' : 'web_svr01')
      await until(async () => (await ask()) === `web_svr01 ${CLIENT}`)
    }
    asking.stdin.end()
    const counts = JSON.parse((await asking).stdout) as Record<string, number>
    t.comment(counts)
    t.ok(counts['web_svr01'])
    t.equal(counts['web_svr02'], undefined)
  })

  t.test('rules come back when dockerd has made its own again', async (t) => {
    await dockerd.kill('SIGKILL')
    await sh('nft flush ruleset')
    await dockerd.restart()
    await until(async () => (await ownRules()).some((rule) => rule.startsWith('-A ')))
    await until(async () => (await ask()) === `web_svr01 ${CLIENT}`)
    t.pass()
  })

  t.test('without an engine, no rule leads to an address that a container has lost', async (t) => {
    const format = '{{.State.Pid}} {{.NetworkSettings.IPAddress}}/{{.NetworkSettings.IPPrefixLen}}'
    const found = await docker('inspect', '--format', format, 'web_svr01')
    const [pid = '', address = ''] = found.split(' ')
    const [ip = ''] = address.split('/')
    const inContainer = (script: string) =>
      execa('nsenter', ['--net', `--target=${pid}`, '--', 'sh', '-ec', script])
    const translates = async (): Promise<boolean> =>
      (await sh('nft list ruleset')).includes(`${ip} . 80`)
    await dockerd.kill('SIGKILL')
    t.ok(await translates())
    await inContainer(`ip addr del ${address} dev eth0`)
    await until(async () => !(await translates()))
    // The daemon puts its rules back, and this one is not among them.
    await sh('nft flush ruleset')
    await until(async () => (await ownRules()).length === 0)
    t.match((await daemon.client.get('web')).ports[0], { via: 'proxy' })
    t.notOk(await translates())
    await inContainer(`ip addr add ${address} dev eth0; ip route add default via 172.17.0.1`)
    await until(translates)
    await dockerd.restart()
    await until(async () => (await ask()) === `web_svr01 ${CLIENT}`)
  })

  t.test('a container in several networks', async (t) => {
    await docker('network', 'create', 'other')
    await docker('network', 'connect', 'other', 'web_svr02')
    const gateway = await docker('exec', 'web_svr02', 'busybox', 'ip', 'route')
    const [usual, second] = gateway.includes('via 172.17.0.1')
      ? ['bridge', 'other']
      : ['other', 'bridge']
    const { code, stderr } = await daemon.cli(
      ...['add', '-p', '80', '--via', 'nat', '--network', second, 'web_svr02'],
    )
    t.equal(code, 125)
    t.equal(
      stderr,
      `nat does not work here: replies of web_svr02 leave by another network than ${second}; --network ${usual} works; publish via proxy instead\n`,
    )
    t.match(
      await daemon.cli(
        ...['add', '-p', '80', '--name', 'two', '--via', 'nat', '--network', usual, 'web_svr02'],
      ),
      { code: 0 },
    )
    t.match(await daemon.cli('rm', 'two'), { code: 0 })
  })

  t.test('replicas share the connections', async (t) => {
    const labels = (number: number): string[] => [
      ...[
        '--label',
        'com.docker.compose.project=shop',
        '--label',
        'com.docker.compose.service=web',
      ],
      ...['--label', `com.docker.compose.container-number=${number}`],
    ]
    await run('shop-web-1', ...labels(1))
    await run('shop-web-2', ...labels(2))
    t.match(await daemon.cli('rm', 'web'), { code: 0 })
    t.match(await add('shop/web'), { code: 0 })
    const both = `shop-web-1 ${CLIENT}, shop-web-2 ${CLIENT}`
    await until(async () => [await ask(), await ask()].sort().join(', ') === both)
    t.match(await daemon.cli('rm', 'web'), { code: 0 })
    t.strictSame(await ownRules(), [])
  })

  t.test('a label asks for it as well', async (t) => {
    const label = [
      '--label',
      `docker-publish.ports=${port}:80`,
      '--label',
      'docker-publish.via=nat',
    ]
    await run('labelled', ...label)
    await until(async () => (await ask()) === `labelled ${CLIENT}`)
    await docker('rm', '-f', 'labelled')
    await until(async () => (await ownRules()).length === 0)
    t.pass()
  })
})
