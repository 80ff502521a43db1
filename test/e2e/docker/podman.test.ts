import { execa } from 'execa'
import t from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { startNamespace } from '../../lib/namespace.js'
import { missingForPodman, startOwnPodman } from '../../lib/own-podman.js'
import { missing } from '../../lib/program.js'
import { until } from '../../lib/until.js'

/* Publications that follow the containers of a real Podman, whose service has Docker's API. */

const missingCompose = missing('/usr/bin/podman-compose', 'podman-compose')
const missingNft = missing('/usr/sbin/nft', 'nftables')

/** Repetitions. More are for the machine of whoever changes this. */
const SWAPS = Number(process.env['SWAPS'] ?? 4)

t.test('containers of a real Podman', { skip: missingForPodman() }, async (t) => {
  const engine = await startOwnPodman(t)
  const { command: podman, compose, namespace, limits, remove } = engine
  t.comment(engine.version)
  const daemon = await engine.startDaemon()
  const run = (name: string, ...args: string[]): Promise<string> =>
    podman('run', '-d', '--name', name, '--hostname', name, ...limits, ...args, IMAGE)
  const leadsTo = (port: number, answer: string): Promise<void> =>
    until(async () => (await namespace.ask(port)) === answer)
  const add = async (...args: string[]): Promise<number> => {
    const port = freeRow(1)
    const spec = `127.0.0.1:${port}:80`
    t.match(await daemon.cli('add', '--name', `p${port}`, '-p', spec, ...args), { code: 0 })
    return port
  }

  t.test('are found by name and by label, and followed', async (t) => {
    const labelled = freeRow(1)
    await run('web_svr01', '--label', `docker-publish.ports=127.0.0.1:${labelled}:80`)
    await leadsTo(labelled, 'web_svr01')
    const port = await add('web_svr01')
    t.match(await daemon.client.get(`p${port}`), { backend: /^10\.88\.\d+\.\d+$/ })
    await leadsTo(port, 'web_svr01')
    await podman('restart', '-t', '0', 'web_svr01')
    await leadsTo(port, 'web_svr01')
    await podman('stop', '-t', '0', 'web_svr01')
    await leadsTo(port, 'disconnected')
    await podman('start', 'web_svr01')
    await leadsTo(labelled, 'web_svr01')
    await podman('rename', 'web_svr01', 'web_svr09')
    await until(async () => (await daemon.client.get(`p${port}`)).container === 'web_svr09')
    await remove('web_svr09')
    await until(async () => (await daemon.client.list()).length === 0)
  })

  t.test('are refused with the reason where this host does not reach them', async (t) => {
    const refusal = async (...args: string[]): Promise<string> =>
      (await daemon.cli('add', '-p', '127.0.0.1::80', ...args)).stderr
    await run('on_none', '--network', 'none')
    t.match(await refusal('on_none'), /^on_none has no network: /)
    t.match(await refusal('on_non'), /^no such container: on_non \(did you mean on_none\?\)/)
    await remove('on_none')
  })

  t.test('a publication that is kept takes up the next container of the name', async (t) => {
    await run('web_svr01')
    const port = await add('--keep', 'web_svr01')
    await leadsTo(port, 'web_svr01')
    await remove('web_svr01')
    await leadsTo(port, 'disconnected')
    await run('web_svr01')
    await leadsTo(port, 'web_svr01')
    await daemon.client.remove(`p${port}`)
    t.pass()
  })

  t.test('two that swap their addresses: never the wrong one', async (t) => {
    await run('web_svr02')
    const names = ['web_svr01', 'web_svr02'] as const
    const ports = [await add('web_svr01'), await add('web_svr02')] as const
    const clients = namespace.startClients(ports)
    for (let i = 0; i < SWAPS; i++) {
      await podman('stop', '-t', '0', ...names)
      const order = i % 2 === 0 ? [...names].reverse() : names
      for (const name of order) await podman('start', name)
      await Promise.all(ports.map((port, j) => leadsTo(port, names[j] ?? '')))
    }
    const counts = await clients.end()
    for (const [j, port] of ports.entries()) {
      t.ok(counts[port]?.[names[j] ?? ''])
      t.equal(counts[port]?.[names[1 - j] ?? ''], undefined)
    }
    for (const port of ports) await daemon.client.remove(`p${port}`)
  })

  t.test('ports outlive the service, and follow again when it is back', async (t) => {
    const port = await add('web_svr01')
    await engine.kill('SIGKILL')
    await engine.restart()
    await leadsTo(port, 'web_svr01')
    await podman('restart', '-t', '0', 'web_svr01')
    await leadsTo(port, 'web_svr01')
    await daemon.client.remove(`p${port}`)
    t.pass()
  })

  t.test('a service of podman-compose is followed', { skip: missingCompose }, async (t) => {
    await compose('up', '-d')
    const port = await add('--keep', 'shop/web')
    await leadsTo(port, 'web')
    t.match(await daemon.cli('ls'), { stdout: /^p\d+ +shop\/web /m })
    await compose('down', '-t', '0')
    await leadsTo(port, 'disconnected')
    await compose('up', '-d')
    await leadsTo(port, 'web')
    await compose('down', '-t', '0')
    await daemon.client.remove(`p${port}`)
  })

  t.test('the kernel translates for clients on other hosts', { skip: missingNft }, async (t) => {
    const client = await startNamespace(t)
    const [command, ...enter] = namespace.enter
    const setup = `
      ip link add c0 type veth peer name c1 netns ${client.pid}
      ip addr add 10.99.0.1/24 dev c0; ip link set c0 up`
    await execa(command, [...enter, 'sh', '-ec', setup])
    await client.sh('ip addr add 10.99.0.2/24 dev c1; ip link set c1 up')
    const port = freeRow(1)
    t.match(await daemon.cli('add', '-p', `${port}:80`, '--via', 'nat', 'web_svr01'), { code: 0 })
    const page = `fetch('http://10.99.0.1:${port}/cgi-bin/name').then((r) => r.text()).then(console.log)`
    t.match(await client.node(page), /^name=web_svr01 client=\[?(::ffff:)?10\.99\.0\.2\]?/)
    await podman('restart', '-t', '0', 'web_svr01')
    await until(async () => /client=\S*10\.99\.0\.2/.test(await client.node(page).catch(() => '')))
    t.match(await daemon.cli('rm', '--all'), { code: 0 })
    const { stdout } = await execa(command, [...enter, 'sh', '-ec', 'nft list tables; iptables -S'])
    t.notMatch(stdout, /docker-publish/i)
  })
})
