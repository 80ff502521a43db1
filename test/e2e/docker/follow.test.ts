import { spawn } from 'node:child_process'
import t from 'tap'
import { IMAGE } from '../../lib/engine-namespace.js'
import { freeRow } from '../../lib/free-row.js'
import { kill } from '../../lib/proc.js'
import { missingForEngine, startOwnEngine } from '../../lib/own-engine.js'
import { documentedUnit, inSandboxOf } from '../../lib/sandbox.js'
import { until } from '../../lib/until.js'

/* Publications that follow the containers of a real engine. */

/** Repetitions. More are for the machine of whoever changes this. */
const RESTARTS = Number(process.env['RESTARTS'] ?? 4)
const SWAPS = Number(process.env['SWAPS'] ?? 8)

t.test('with a real engine', { skip: missingForEngine() }, async (t) => {
  const engine = await startOwnEngine(t, '--live-restore')
  t.comment(`${engine.name} ${engine.version}`)
  const { command: docker, ask, limits, remove, defaultNetwork } = engine
  const daemon = await engine.startDaemon('--live-restore')
  const run = (name: string, ...args: string[]): Promise<string> =>
    docker('run', '-d', '--name', name, '--hostname', name, ...limits, ...args, IMAGE)
  const add = async (
    ...args: string[]
  ): Promise<{ name: string; port: number; stdout: string }> => {
    const port = freeRow(1)
    const { code, stdout, stderr } = await daemon.cli('add', '-p', `127.0.0.1:${port}:80`, ...args)
    if (code !== 0) throw new Error(stderr)
    return { name: `port-${port}`, port, stdout }
  }
  const refusal = async (...args: string[]): Promise<string> => {
    const { code, stderr } = await daemon.cli('add', '-p', `127.0.0.1:${freeRow(1)}:80`, ...args)
    return `${String(code)} ${stderr.trim()}`
  }
  /** Waits until a port leads to a container, or to nobody. */
  const leadsTo = (port: number, answer: string): Promise<void> =>
    until(async () => (await ask(port)) === answer)
  const view = (name: string) => daemon.client.get(name)

  await run('web_svr01')

  t.test('a container is found by its name and by its id', async (t) => {
    const id = await docker('inspect', '-f', '{{.Id}}', 'web_svr01')
    for (const text of ['web_svr01', id, id.slice(0, 12)]) {
      const { name, port, stdout } = await add(text)
      t.match(stdout, /, follows the container web_svr01 \(1[07][\d.]+\)\n$/)
      await leadsTo(port, 'web_svr01')
      t.match(await view(name), { container: 'web_svr01', containerState: 'running' })
      await daemon.client.remove(name)
    }
  })

  t.test('an unknown name is refused, and similar ones are named', async (t) => {
    t.equal(
      await refusal('web_srv01'),
      '125 no such container: web_srv01 (did you mean web_svr01?)',
    )
    t.match(await refusal('172.17.0'), /^2 .*invalid backend "172\.17\.0"/)
  })

  t.test('a proxy that was killed is replaced, and leads to the same container', async (t) => {
    const { name, port } = await add('web_svr01')
    const [view0] = (await view(name)).ports
    process.kill(view0?.pid ?? 0, 'SIGKILL')
    await until(async () => {
      const [now] = (await view(name)).ports
      return now?.state === 'up' && now.pid !== view0?.pid
    })
    await leadsTo(port, 'web_svr01')
    await docker('restart', '-t', '0', 'web_svr01')
    await leadsTo(port, 'web_svr01')
    await daemon.client.remove(name)
    t.pass()
  })

  t.test('port shows what dockerd publishes for a container, as docker does', async (t) => {
    await run('by_docker', '-p', '127.0.0.1::80')
    const { stdout } = await daemon.cli('port', 'by_docker')
    t.equal(stdout.trim(), await docker('port', 'by_docker'))
    t.match(stdout, /^80\/tcp -> 127\.0\.0\.1:\d+$/m)
    t.match(await daemon.cli('port', 'by_doc'), {
      code: 125,
      stderr: /no such publication: by_doc/,
    })
    await remove('by_docker')
  })

  // Older engines give every container IPv4.
  const isOld = engine.name === 'docker' && Number(engine.version.split('.')[0]) < 28
  t.test('a container with IPv6 alone', { skip: isOld && 'needs Docker 28' }, async (t) => {
    const family = engine.name === 'docker' ? ['--ipv6', '--ipv4=false'] : []
    const network = [...family, '--subnet', 'fd00:19::/64', 'six']
    await docker('network', 'create', ...network)
    await run('on_six', '--network', 'six')
    const { name, port, stdout } = await add('on_six')
    t.match(stdout, /follows the container on_six \(fd00:19::[0-9a-f:]+\)\n$/)
    await leadsTo(port, 'on_six')
    await docker('restart', '-t', '0', 'on_six')
    await leadsTo(port, 'on_six')
    await daemon.client.remove(name)
    await remove('on_six')
    await docker('network', 'rm', 'six')
  })

  t.test('a compose service is found by the project or by a compose file', async (t) => {
    const label = (name: string, value: string): string[] => [
      ...['--label', `com.docker.compose.${name}=${value}`],
    ]
    await run('shop-api-1', ...label('project', 'shop'), ...label('service', 'api'))
    const folder = t.testdir({ Shop: { 'compose.yaml': 'services: {}\n' } })
    for (const args of [
      ['--project-name', 'shop'],
      ['-f', `${folder}/Shop/compose.yaml`],
    ]) {
      const { name, port, stdout } = await add(...args, 'api')
      t.match(stdout, /follows the service shop\/api /)
      await leadsTo(port, 'shop-api-1')
      await daemon.client.remove(name)
    }
    t.match(await refusal('--project-name', 'other', 'api'), /^125 no such container: other\/api/)
    t.match(
      await refusal('--project-name', 'shop', '172.17.0.2'),
      /^2 .* give only the name of the service$/,
    )
    await remove('shop-api-1')
  })

  t.test('an address stands for the container that has it, unless it is kept', async (t) => {
    const ip = await docker(
      ...['inspect', '-f', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', 'web_svr01'],
    )
    const followed = await add(ip)
    t.match(followed.stdout, /follows the container web_svr01/)
    const kept = await add('--address-only', ip)
    t.notMatch(kept.stdout, /follows/)
    t.equal((await view(kept.name)).container, undefined)
    for (const { name } of [followed, kept]) await daemon.client.remove(name)
  })

  t.test('a container that this host does not reach is refused with the reason', async (t) => {
    await run('on_host', '--network', 'host')
    await run('on_none', '--network', 'none')
    await docker('network', 'create', '--internal', 'inside')
    await run('on_inside', '--network', 'inside')
    t.match(await refusal('on_host'), /^125 on_host uses the host's network: /)
    t.match(
      await refusal('on_none'),
      /^125 on_none has no network: connect it to one with "docker /,
    )
    t.match(
      await refusal('on_inside'),
      /^125 the network inside of on_inside is internal: --network inside publishes its ports anyway/,
    )
    t.match(
      await refusal('--network', 'nope', 'web_svr01'),
      new RegExp(`^125 web_svr01 is not in the network "nope": it is in ${defaultNetwork}$`),
    )
    const { name, port } = await add('--network', 'inside', 'on_inside')
    await leadsTo(port, 'on_inside')
    await daemon.client.remove(name)
    await remove('on_host', 'on_none', 'on_inside')
  })

  t.test('a container that shares the network of another one is reached there', async (t) => {
    await run('owner')
    await docker(
      ...['run', '-d', '--name', 'guest', ...limits, '--network', 'container:owner', IMAGE],
      ...['/bin/httpd', '-f', '-p', '81', '-h', '/www'],
    )
    const port = freeRow(1)
    t.match(await daemon.cli('add', '-p', `127.0.0.1:${port}:81`, 'guest'), { code: 0 })
    // Podman gives it a host name of its own.
    await leadsTo(port, await docker('exec', 'guest', '/bin/hostname'))
    await daemon.client.remove(`port-${port}`)
    await remove('guest', 'owner')
  })

  for (const isolation of ['process', 'shared']) {
    t.test(`isolation ${isolation}: stopped, started, renamed and reconnected`, async (t) => {
      await run('first')
      const { name, port } = await add('--isolation', isolation, 'first')
      await leadsTo(port, 'first')
      const before = await view(name)

      await docker('stop', '-t', '0', 'first')
      await leadsTo(port, 'disconnected')
      t.match(await view(name), { backend: '', containerState: 'stopped' })
      t.match(
        (await daemon.cli('ls')).stdout,
        new RegExp(`^${name} +first .* container stopped `, 'm'),
      )
      // Another container gets its address.
      await run('second')
      t.equal(await ask(port), 'disconnected')
      await docker('start', 'first')
      await leadsTo(port, 'first')
      t.not((await view(name)).backend, before.backend)

      await docker('rename', 'first', 'renamed')
      await until(async () => (await view(name)).container === 'renamed')
      await docker('network', 'create', 'other')
      await docker('network', 'disconnect', defaultNetwork, 'renamed')
      await leadsTo(port, 'disconnected')
      await docker('network', 'connect', 'other', 'renamed')
      await leadsTo(port, 'first')
      const after = await view(name)
      t.equal(after.ports[0]?.pid, before.ports[0]?.pid, 'the same process')
      t.equal(after.ports[0]?.restarts, 0)

      await remove('renamed', 'second')
      await until(async () => (await daemon.client.list()).length === 0)
      await docker('network', 'rm', 'other')
    })
  }

  t.test('a port is closed while its container is stopped, if that is wanted', async (t) => {
    await run('closing')
    const { name, port } = await add('--when-stopped', 'close-port', 'closing')
    await leadsTo(port, 'closing')
    await docker('stop', '-t', '0', 'closing')
    await leadsTo(port, 'refused')
    await until(async () => (await view(name)).ports[0]?.state === 'closed')
    const { stdout } = await daemon.cli('add', 'closing')
    t.ok(stdout.includes(`127.0.0.1:${port} by ${name}`), 'the publication is shown meanwhile')
    const listen = `require('node:net').createServer((s) => s.end()).listen(${port}, '127.0.0.1')`
    const [program, ...args] = engine.enter
    const other = spawn(program, [...args, process.execPath, '-e', listen], { stdio: 'ignore' })
    t.teardown(() => kill(other.pid))
    await leadsTo(port, 'disconnected')
    await docker('start', 'closing')
    await until(async () => (await view(name)).ports[0]?.reason?.includes('(held by pid ') ?? false)
    kill(other.pid)
    await leadsTo(port, 'closing')
    await remove('closing')
    await until(async () => (await daemon.client.list()).length === 0)
  })

  t.test('a publication that is kept takes up the next container of the name', async (t) => {
    await run('kept')
    const { name, port } = await add('--keep', 'kept')
    await remove('kept')
    await leadsTo(port, 'disconnected')
    t.match(await view(name), { containerState: 'missing', keep: true })
    await run('kept')
    await leadsTo(port, 'kept')
    await daemon.client.remove(name)
    await remove('kept')
  })

  t.test('a compose service shares its connections among its replicas', async (t) => {
    const replica = (name: string, number: number): Promise<string> =>
      run(
        name,
        ...['--label', 'com.docker.compose.project=shop'],
        ...['--label', 'com.docker.compose.service=web'],
        ...['--label', `com.docker.compose.container-number=${number}`],
      )
    await Promise.all([replica('shop-web-1', 1), replica('shop-web-2', 2)])
    t.match(await refusal('shop/wep'), /did you mean shop\/web/)
    const { name, port } = await add('shop/web')
    const single = await add('shop-web-1')
    t.equal((await view(name)).container, 'shop/web')
    await leadsTo(port, 'shop-web-1')
    await leadsTo(port, 'shop-web-2')
    await replica('shop-web-3', 3)
    await leadsTo(port, 'shop-web-3')

    // As compose recreates a container: the new one is there before the old one is removed.
    await docker(
      ...['create', '--name', 'new', '--hostname', 'again', ...limits],
      ...['--label', 'com.docker.compose.project=shop'],
      ...['--label', 'com.docker.compose.service=web'],
      ...['--label', 'com.docker.compose.container-number=1', IMAGE],
    )
    await remove('shop-web-1')
    await docker('rename', 'new', 'shop-web-1')
    await docker('start', 'shop-web-1')
    await leadsTo(single.port, 'again')
    await leadsTo(port, 'again')

    await remove('shop-web-1', 'shop-web-2', 'shop-web-3')
    await until(async () => (await daemon.client.list()).length === 0)
  })

  t.test(`${RESTARTS} restarts under load: clients wait, and none is refused`, async (t) => {
    await run('busy')
    const { name, port } = await add('--when-stopped', 'hold', 'busy')
    await leadsTo(port, 'busy')
    const clients = engine.startClients([port, port])
    for (let i = 0; i < RESTARTS; i++) await docker('restart', '-t', '0', 'busy')
    const answers = await clients.end()
    const [{ failedDials, accepted } = {}] = (await view(name)).ports
    t.equal(failedDials, 0)
    t.equal(answers[port]?.['refused'], undefined)
    t.comment(`${String(accepted)} connections: ${JSON.stringify(answers)}`)
    await remove('busy')
    await until(async () => (await daemon.client.list()).length === 0)
  })

  t.test(`${SWAPS} swaps of addresses: never the wrong container`, async (t) => {
    await docker('network', 'create', '--subnet', '10.77.0.0/24', 'swap')
    const addresses = ['10.77.0.11', '10.77.0.12'] as [string, string]
    await run('left', '--network', 'swap', '--ip', addresses[0])
    await run('right', '--network', 'swap', '--ip', addresses[1])
    const [left, right] = await Promise.all([
      add('--when-stopped', 'hold', 'left'),
      add('--when-stopped', 'hold', 'right'),
    ])
    const clients = engine.startClients([left.port, right.port])
    for (let i = 0; i < SWAPS; i++) {
      addresses.reverse()
      for (const name of ['left', 'right']) await docker('network', 'disconnect', 'swap', name)
      await docker('network', 'connect', '--ip', addresses[0], 'swap', 'left')
      await docker('network', 'connect', '--ip', addresses[1], 'swap', 'right')
    }
    const answers = await clients.end()
    t.comment(JSON.stringify(answers))
    t.ok((answers[left.port]?.['left'] ?? 0) > 0)
    t.equal(answers[left.port]?.['right'], undefined)
    t.equal(answers[right.port]?.['left'], undefined)
    await remove('left', 'right')
    await until(async () => (await daemon.client.list()).length === 0)
    await docker('network', 'rm', 'swap')
  })

  t.test('while no daemon runs, no address that a container has lost is used', async (t) => {
    await run('here')
    await run('gone')
    const [here, gone] = [await add('here'), await add('--when-stopped', 'refuse', 'gone')]
    await daemon.end('SIGKILL')
    await docker('stop', '-t', '0', 'gone')
    await run('heir')
    t.equal(await ask(gone.port), 'disconnected', 'the proxy itself watches the container')
    const next = await daemon.again()
    t.equal(await ask(here.port), 'here')
    t.equal(await ask(gone.port), 'disconnected')
    await docker('start', 'gone')
    await leadsTo(gone.port, 'gone')

    // A container that leaves its network goes on, and its address goes to another one.
    const subnet = ['--subnet', '10.78.0.0/24']
    await docker('network', 'create', ...subnet, 'left')
    const address = ['--network', 'left', '--ip', '10.78.0.9']
    await run('leaving', ...address)
    const leaving = await add('--when-stopped', 'refuse', 'leaving')
    await leadsTo(leaving.port, 'leaving')
    const [{ pid: proxy } = {}] = (await next.client.get(leaving.name)).ports
    await next.end('SIGKILL')
    await docker('network', 'disconnect', 'left', 'leaving')
    t.equal(await ask(leaving.port), 'disconnected', 'the proxy itself watches the network')
    await docker('network', 'connect', '--ip', '10.78.0.9', 'left', 'leaving')
    await leadsTo(leaving.port, 'leaving')
    await docker('network', 'disconnect', 'left', 'leaving')
    await run('next', ...address)
    t.equal(await ask(leaving.port), 'disconnected')
    // The next daemon has to start the proxy again, and nobody tells it where the container is.
    await engine.kill('SIGKILL')
    kill(proxy)
    const last = await next.again()
    await until(async () => (await ask(leaving.port)) !== 'refused')
    t.equal(await ask(leaving.port), 'disconnected', 'the saved address is not used')
    await engine.restart()
    await remove('next')
    await docker('network', 'connect', 'left', 'leaving')
    await leadsTo(leaving.port, 'leaving')
    await remove('leaving')
    await docker('network', 'rm', 'left')

    // Without an engine, running containers stay reachable, and the end of one is noticed.
    await engine.kill('SIGKILL')
    t.equal(await ask(here.port), 'here')
    const { stdout } = await last.cli('inspect', here.name)
    t.match(JSON.parse(stdout), [{ containerState: 'running' }])
    await engine.restart()
    await docker('restart', '-t', '0', 'here')
    await leadsTo(here.port, 'here')
    await remove('here', 'gone', 'heir')
    await until(async () => (await last.client.list()).length === 0)
  })

  t.test('in the sandbox of its unit, a proxy sees a container leave as well', async (t) => {
    const sandbox = inSandboxOf(documentedUnit())
    const own = await engine.startDaemonThrough(sandbox, '--live-restore')
    await docker('network', 'create', '--subnet', '10.79.0.0/24', 'left')
    const address = ['--network', 'left', '--ip', '10.79.0.9']
    await run('leaving', ...address)
    const ports = [freeRow(1), freeRow(1)] as const
    const added = await Promise.all([
      own.cli('add', '-p', `127.0.0.1:${ports[0]}:80`, 'leaving'),
      own.cli('add', '-p', `127.0.0.1:${ports[1]}:80`, '--isolation', 'shared', 'leaving'),
    ])
    t.match(added, [{ code: 0 }, { code: 0 }])
    const leadTo = (answer: string) => Promise.all(ports.map((port) => leadsTo(port, answer)))
    await leadTo('leaving')
    await own.end('SIGKILL')
    await docker('network', 'disconnect', 'left', 'leaving')
    await run('next', ...address)
    t.strictSame(await Promise.all(ports.map(ask)), ['disconnected', 'disconnected'])
    await own.again()
    await leadTo('disconnected')
    await remove('next')
    await docker('network', 'connect', 'left', 'leaving')
    await leadTo('leaving')
    await remove('leaving')
    await docker('network', 'rm', 'left')
  })
})
