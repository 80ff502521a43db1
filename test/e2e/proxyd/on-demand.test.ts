import { chmodSync, cpSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t from 'tap'
import { processCommand, processIds, processVariables } from '../../../src/linux/proc/process.js'
import { kill, listeningPort } from '../../lib/proc.js'
import { missing, notRoot, PROGRAM, proxyFlags, READY, run, stop } from '../../lib/program.js'
import { isDemandedServer, onDemandHost } from '../../lib/on-demand-host.js'
import { PROXYD, runFolder, startProxyd } from '../../lib/proxyd.js'
import { assertReleased } from '../../lib/released.js'
import {
  dial,
  exchange,
  isAnswered,
  listeningDescriptor,
  readAll,
  startEcho,
} from '../../lib/sockets.js'
import { publishedPort } from '../../lib/target.js'
import { until } from '../../lib/until.js'

/*
 * A docker-proxyd that launchers start when they find none.
 */

t.test('the first docker-proxy starts it, the next ones find it, and it ends', async (t) => {
  const echo = await startEcho(t)
  const { publish, servers, folder, log } = onDemandHost(t, { DOCKER_PROXY_IDLE_SECONDS: '1' })
  const first = await publish(echo)
  const [server] = servers()
  const second = await publish(echo)
  t.same(servers(), [server])
  for (const { port } of [first, second]) t.equal(await exchange(t, port, 'ping'), 'ping')
  const stat = readFileSync(`/proc/${server}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  t.equal(Number(stat[3]), server, 'it has a session of its own')

  for (const launcher of [first, second]) {
    t.match(await stop(launcher), { code: 0 })
    await assertReleased(t, launcher.port)
  }
  await until(() => servers().length === 0)
  t.match(log(), 'Started by a docker-proxy')
  t.match(log(), 'Ended: it had no port for 1 s')
  t.notOk(existsSync(join(folder, 'server')))

  const third = await publish(echo)
  t.equal(await exchange(t, third.port, 'again'), 'again')
  t.match(await stop(third), { code: 0 })
})

t.test('the options of the docker-proxy that starts it are for its port alone', async (t) => {
  const echo = await startEcho(t)
  const { publish, env } = onDemandHost(t)
  const limits = { DOCKER_PROXY_MAX_CONNECTIONS: '1', DOCKER_PROXY_WHEN_FULL: 'refuse' }
  const limited = run(t, proxyFlags(echo), { env: { ...env, ...limits } })
  t.equal(await limited.status, READY)
  const limitedPort = await publishedPort(env.DOCKER_PROXY_RUN_DIR, limited.pid)
  const { port } = await publish(echo)
  for (const [number, isServed] of [
    [limitedPort, false],
    [port, true],
  ] as const) {
    const [first, second] = [await dial(t, number), await dial(t, number)]
    first.write('x')
    t.equal(await isAnswered(first), true)
    second.write('y')
    t.equal(await isAnswered(second), isServed)
  }
})

/** Shells that run a launcher of this run folder. */
function launcherShells(folder: string): number[] {
  return processIds().filter(
    (pid) =>
      processVariables(pid, ['DOCKER_PROXY_RUN_DIR']).DOCKER_PROXY_RUN_DIR === folder &&
      processCommand(pid)?.[1] === PROGRAM,
  )
}

t.test('the docker-proxy that has started it leaves no process behind', async (t) => {
  const { publish, folder } = onDemandHost(t)
  const launcher = await publish(await startEcho(t))
  t.match(await stop(launcher), { code: 0 })
  t.same(launcherShells(folder), [])
})

t.test('nor one that ignores SIGTERM, which serves its port itself', async (t) => {
  const { env, folder } = onDemandHost(t)
  const flags = proxyFlags(await startEcho(t))
  const running = run(t, ['-c', `trap '' TERM; exec "$@"`, 'sh', PROGRAM, ...flags], {
    program: 'sh',
    env,
  })
  t.equal(await running.status, READY)
  t.same(launcherShells(folder), [])
  running.child.kill('SIGINT')
  t.match(await running.exit, { code: 0 })
})

t.test('many that come at the same moment start one', async (t) => {
  const echo = await startEcho(t)
  const { launch, servers, folder } = onDemandHost(t)
  const launchers = Array.from({ length: 30 }, () => launch(proxyFlags(echo)))
  t.same(new Set(await Promise.all(launchers.map(({ status }) => status))), new Set([READY]))
  t.equal(servers().length, 1)
  const started = readFileSync(join(folder, 'log'), 'utf8').match(/Started by a docker-proxy/g)
  t.equal(started?.length, 1)
  for (const { pid } of launchers) {
    t.equal(await exchange(t, await publishedPort(folder, pid), 'ping'), 'ping')
  }
})

t.test('when it is killed, its launchers start the next one', async (t) => {
  const echo = await startEcho(t)
  const { launch, publish, servers, folder, log } = onDemandHost(t)
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const withSocket = launch([...proxyFlags(echo, { port }), '-use-listen-fd'], fd)
  t.equal(await withSocket.status, READY)
  const others = await Promise.all(Array.from({ length: 10 }, () => publish(echo)))
  const [killed] = servers()
  kill(killed)
  // Nobody accepts, and nobody refuses.
  const waiting = await dial(t, port)
  waiting.end('waited')
  t.equal(await readAll(waiting), 'waited')
  for (const launcher of others) {
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'again'), 'again')
  }
  t.equal(servers().length, 1)
  t.not(servers()[0], killed)
  t.match(log(), `docker-proxyd ${killed} has ended: its ports are served again`)
  for (const launcher of [withSocket, ...others]) t.match(await stop(launcher), { code: 0 })
  t.same(
    readdirSync(folder).filter((name) => name.startsWith('after.')),
    [],
  )
})

t.test('when it is killed as soon as its first port is ready, there is a next one', async (t) => {
  const echo = await startEcho(t)
  for (let i = 0; i < 5; i++) {
    const { folder, launch, killServer } = onDemandHost(t)
    const launcher = launch(proxyFlags(echo))
    t.equal(await launcher.status, READY)
    await killServer()
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'again'), 'again')
    t.match(await stop(launcher), { code: 0 })
  }
})

t.test('when it is killed before its first port is ready, there is a next one', async (t) => {
  const { folder, launch, servers } = onDemandHost(t)
  const launcher = launch(proxyFlags(await startEcho(t)))
  await until(() => existsSync(join(folder, 'server')))
  servers().forEach(kill)
  t.equal(await launcher.status, READY)
  t.match(await stop(launcher), { code: 0 })
})

t.test(
  'a launcher that ends while it starts the next one does not leave the others alone',
  async (t) => {
    const echo = await startEcho(t)
    for (let i = 0; i < 5; i++) {
      const { folder, publish, servers } = onDemandHost(t)
      const [first, second, third] = [await publish(echo), await publish(echo), await publish(echo)]
      servers().forEach(kill)
      for (const each of [first, second]) each.child.kill('SIGINT')
      for (const { exit } of [first, second]) t.match(await exit, { code: 0 })
      t.equal(await exchange(t, await publishedPort(folder, third.pid), 'third'), 'third')
      t.match(await stop(third), { code: 0 })
    }
  },
)

t.test(
  'a successor that is killed is followed, though its predecessor has a connection',
  async (t) => {
    const echo = await startEcho(t)
    const { folder, publish, servers } = onDemandHost(t)
    const launcher = await publish(echo)
    const lasting = await dial(t, launcher.port)
    const proxyd = await startProxyd(t, { folder })
    proxyd.child.kill('SIGKILL')
    await proxyd.exit
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'followed'), 'followed')
    t.equal(servers().length, 2)
    lasting.end('open before')
    t.equal(await readAll(lasting), 'open before')
  },
)

t.test(
  "root's first port after boot uses root's run folder",
  { skip: notRoot('mounts') },
  async (t) => {
    const script = 'mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/log && exec "$@"'
    const command = [
      '--mount',
      'sh',
      '-c',
      script,
      'sh',
      PROGRAM,
      ...proxyFlags(await startEcho(t)),
    ]
    const env = { DOCKER_PROXY_ON_DEMAND: 'yes', DOCKER_PROXY_IDLE_SECONDS: '1' }
    const launcher = run(t, command, { program: 'unshare', env })
    t.equal(await launcher.status, READY)
    const inside = join('/proc', String(launcher.pid), 'root/run/docker-proxy')
    const pid = Number(readFileSync(join(inside, 'pid'), 'utf8'))
    t.ok(isDemandedServer(pid, '/run/docker-proxy'))
    t.match(await stop(launcher), { code: 0 })
    await until(() => processCommand(pid) === undefined)
  },
)

t.test('docker-proxyd-start is killed, and its launcher starts it again', async (t) => {
  const { publish, folder, killServer, servers } = onDemandHost(t)
  const starters = (): number[] =>
    processIds().filter((pid) => {
      const [, program, run] = processCommand(pid) ?? []
      return program?.endsWith('/docker-proxyd-start') && run === folder
    })
  const launchers = [await publish(await startEcho(t)), await publish(await startEcho(t))]
  // The start after the second end is delayed.
  await killServer()
  for (const { pid } of launchers) await publishedPort(folder, pid)
  servers().forEach(kill)
  for (let i = 0; i < 2; i++) {
    await until(() => starters().length > 0)
    const killed = starters()
    killed.forEach(kill)
    await until(() => starters().every((pid) => !killed.includes(pid)))
  }
  for (const { pid } of launchers) {
    t.equal(await exchange(t, await publishedPort(folder, pid), 'again'), 'again')
  }
  t.equal(servers().length, 1)
  await until(() => starters().length === 0)
  for (const launcher of launchers) t.match(await stop(launcher), { code: 0 })
})

t.test('when it is killed again and again, the starts are delayed', async (t) => {
  const { publish, folder, killServer } = onDemandHost(t)
  const launcher = await publish(await startEcho(t))
  const delays: number[] = []
  for (let i = 0; i < 3; i++) {
    await killServer()
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'again'), 'again')
    delays.push(Number(readFileSync(join(folder, 'restarts'), 'utf8').trim().split(' ')[1]))
  }
  t.same(delays, [0, 1, 2])
  t.match(await stop(launcher), { code: 0 })
})

for (const [shell, ...applet] of [['bash'], ['busybox', 'ash']] as const) {
  const skip = shell === 'busybox' && missing('/bin/busybox', 'busybox-static')
  t.test(`it is started, and started again, by ${shell}`, { skip }, async (t) => {
    const echo = await startEcho(t)
    const { env, folder, killServer } = onDemandHost(t)
    const args = [...applet, PROGRAM, ...proxyFlags(echo)]
    const launcher = run(t, args, { program: shell, env })
    t.equal(await launcher.status, READY)
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'first'), 'first')
    await killServer()
    t.equal(await exchange(t, await publishedPort(folder, launcher.pid), 'again'), 'again')
    t.match(await stop(launcher), { code: 0 })
  })
}

t.test('one that somebody starts takes over, and is followed when it ends', async (t) => {
  const echo = await startEcho(t)
  const { publish, servers, folder } = onDemandHost(t)
  const launcher = await publish(echo)
  const connection = await dial(t, launcher.port)
  const proxyd = await startProxyd(t, { folder })
  connection.end('open before')
  t.equal(await readAll(connection), 'open before')
  await until(() => servers().length === 0)
  t.equal(await exchange(t, launcher.port, 'taken over'), 'taken over')
  const second = await publish(echo)
  t.same(servers(), [])

  t.match(await stop(proxyd), { code: 0 })
  for (const each of [launcher, second]) {
    t.equal(await exchange(t, await publishedPort(folder, each.pid), 'followed'), 'followed')
  }
  t.equal(servers().length, 1)
})

t.test('where it can not be started, docker-proxy serves its port itself', async (t) => {
  const echo = await startEcho(t)
  const folder = t.testdir({ node_modules: t.fixture('symlink', resolve('node_modules')) })
  const dist = join(folder, 'dist')
  cpSync(resolve('dist'), dist, { recursive: true })
  const broken = join(dist, 'docker-proxyd')
  writeFileSync(broken, '#!/bin/sh\nexit 1\n')
  chmodSync(broken, 0o755)
  for (const [name, program, runDir] of [
    ['no folder can be made', PROGRAM, join(broken, 'run')],
    ['it does not start', join(dist, 'docker-proxy'), runFolder(t)],
  ] as const) {
    const env = { DOCKER_PROXY_RUN_DIR: runDir, DOCKER_PROXY_ON_DEMAND: 'yes' }
    const alone = run(t, proxyFlags(echo), { program, env })
    t.equal(await alone.status, READY, name)
    t.equal(await exchange(t, listeningPort(alone.pid), 'alone'), 'alone', name)
    t.match(await stop(alone), { code: 0 }, name)
  }
})

t.test('without a parent that waits for the status, nothing is started', async (t) => {
  const { folder } = onDemandHost(t)
  const env = { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ON_DEMAND: 'yes' }
  const alone = run(t, proxyFlags(await startEcho(t)), { env, status: 'ignore' })
  await until(() => {
    try {
      return listeningPort(alone.pid) > 0
    } catch {
      return false
    }
  })
  t.same(readdirSync(folder), [])
  t.match(await stop(alone), { code: 0 })
})

t.test('by hand it needs no parent that waits', async (t) => {
  const folder = runFolder(t)
  const env = { DOCKER_PROXY_IDLE_SECONDS: '0' }
  const args = ['--on-demand', '--run-dir', folder]
  const running = run(t, args, { program: PROXYD, env, status: 'ignore' })
  t.match(await running.exit, { code: 0 })
  t.match(await running.stderr, 'it had no port for 0 s')
})

t.test('settings that are invalid are refused', async (t) => {
  const { folder } = onDemandHost(t)
  const flags = proxyFlags(await startEcho(t))
  const sometimes = run(t, flags, {
    env: { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ON_DEMAND: 'sometimes' },
  })
  t.equal(
    await sometimes.status,
    '1\ninvalid setting "sometimes" for DOCKER_PROXY_ON_DEMAND: use one of yes, no',
  )
  t.match(await sometimes.exit, { code: 2 })
  const soon = run(t, flags, {
    env: {
      DOCKER_PROXY_RUN_DIR: folder,
      DOCKER_PROXY_ON_DEMAND: 'yes',
      DOCKER_PROXY_IDLE_SECONDS: 'soon',
    },
  })
  t.equal(
    await soon.status,
    '1\ninvalid setting "soon" for DOCKER_PROXY_IDLE_SECONDS: expected seconds, 0 to 1000000',
  )
  t.match(await soon.exit, { code: 2 })
})
