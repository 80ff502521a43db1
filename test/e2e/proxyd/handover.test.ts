import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { unitFile } from '../../../src/installer/systemd-unit.js'
import { requireCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { ask, bindUdp, startUdpEcho } from '../../lib/datagrams.js'
import { makeFifo } from '../../lib/fifo.js'
import { openDescriptors } from '../../lib/proc.js'
import { notRoot, PROGRAM, proxyFlags, READY, run, stop } from '../../lib/program.js'
import { startProxyd } from '../../lib/proxyd.js'
import { assertReleased } from '../../lib/released.js'
import { inSandboxOf } from '../../lib/sandbox.js'
import { exchange, listeningDescriptor, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const commandOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trimEnd()

t.test('a docker-proxy hands its port over, and ends with it', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    const launcher = await proxyd.publish(echo)
    t.equal(commandOf(launcher.pid), ['/bin/sh', PROGRAM, ...proxyFlags(echo)].join(' '))
    t.equal(readFileSync(`/proc/${launcher.pid}/comm`, 'utf8'), 'docker-proxy\n')
    t.equal(await exchange(t, launcher.port, 'hello'), 'hello')
    launcher.child.kill(signal)
    t.same(await launcher.exit, { code: 0, signal: null })
    await assertReleased(t, launcher.port)
    t.equal(await launcher.stderr, '')
  }
})

t.test('UDP as well', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startUdpEcho(t)
  const launcher = await proxyd.publish(echo, {
    flags: ['-proto', 'udp', ...proxyFlags(echo).slice(2)],
  })
  t.equal(String(await ask(await bindUdp(t), launcher.port, 'hello')), 'hello')
  t.match(await stop(launcher), { code: 0 })
})

t.test('a socket that was handed to it is handed on', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const before = openDescriptors(proxyd.pid)
  const launcher = await proxyd.publish(echo, {
    listenFd: fd,
    flags: [...proxyFlags(echo, { port }), '-use-listen-fd'],
  })
  t.equal(launcher.port, port)
  t.equal(await exchange(t, port, 'handed on'), 'handed on')
  t.match(await stop(launcher), { code: 0 })
  await until(() => openDescriptors(proxyd.pid) <= before)
})

t.test('a refusal has the text of the program', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const { port } = await proxyd.publish(echo)
  for (const [flags, exitCode] of [
    [proxyFlags(echo, { port }), 1],
    [proxyFlags(echo, { ip: '192.0.2.1' }), 1],
    [proxyFlags(echo, { port: 70_000 }), 1],
    [['-proto', 'quic'], 1],
    [['-host-port', 'eighty'], 2],
    [['-use-listen-fd', '-host-port', '1'], 1],
    [['-version'], 0],
    [['-help'], 0],
  ] as const) {
    const [handed, alone] = [proxyd.folder, join(proxyd.folder, 'none')].map((folder) =>
      run(t, flags, { env: { DOCKER_PROXY_RUN_DIR: folder } }),
    )
    if (!handed || !alone) throw new Error('both were started')
    t.match(await handed.exit, { code: exitCode })
    t.equal(await handed.status, await alone.status, flags.join(' '))
    t.equal(await handed.stderr, await alone.stderr)
    t.equal(await handed.stdout, await alone.stdout)
  }
})

t.test('a refused launcher ends, even if its stderr is not read', async (t) => {
  const proxyd = await startProxyd(t)
  const taken = await startEcho(t)
  const flags = proxyFlags(taken, { port: taken.port })
  const fifo = makeFifo(t)
  const refuse = async (): Promise<void> => {
    const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder }
    const launcher = run(t, flags, { env, stderr: fifo.writeFd })
    t.match(await launcher.status, /^1\nfailed to listen/)
    t.same(await launcher.exit, { code: 1, signal: null })
  }
  await refuse()
  t.match(fifo.drain(), /^failed to listen on .*: bind: address already in use\n$/)
  fifo.fill()
  await refuse()
})

t.test('the settings that a docker-proxy was started with hold for its port', async (t) => {
  const proxyd = await startProxyd(t, { env: { DOCKER_PROXY_LOG_LEVEL: 'error' } })
  const { folder } = proxyd
  const echo = await startEcho(t)
  const config = join(t.testdir({ 'settings.json': '{"log-level": "debug"}' }), 'settings.json')
  // A relative name starts from the launcher's own folder.
  const program = ['-c', `cd ${join(config, '..')} && exec ${PROGRAM} "$@"`, 'sh']
  const env = { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_CONFIG: 'settings.json' }
  const launcher = run(t, [...program, ...proxyFlags(echo)], { program: '/bin/sh', env })
  t.equal(await launcher.status, READY)
  const port = await proxyd.portOf(launcher.pid)
  t.equal(await exchange(t, port, 'x'), 'x')
  const closed = (): boolean => proxyd.lines.some(({ msg }) => msg === 'Connection closed')
  await until(closed)
  t.ok(proxyd.lines.every((line) => line['launcher'] === launcher.pid))

  for (const [text, settings] of [
    ['"warp" for DOCKER_PROXY_ENGINE', { DOCKER_PROXY_ENGINE: 'warp' }],
    ['"0" for DOCKER_PROXY_WORKERS', { DOCKER_PROXY_WORKERS: '0' }],
  ] as const) {
    const refused = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: folder, ...settings } })
    t.match(await refused.status, text)
    t.match(await refused.exit, { code: 2 })
  }
  t.match(await stop(launcher), { code: 0 })
})

t.test(
  'it works in the sandbox of its unit',
  { skip: notRoot('to give up capabilities, and to mount') },
  async (t) => {
    const proxyd = await startProxyd(t, { through: inSandboxOf(unitFile([])) })
    const status = readFileSync(`/proc/${proxyd.pid}/status`, 'utf8')
    t.equal(/^CapEff:\t(\w+)$/m.exec(status)?.[1], '0000000000080404', 'it has those, and no other')
    const echo = await startEcho(t)
    const settings = join(t.testdir({ 'settings.json': '{"log-level": "debug"}' }), 'settings.json')
    const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
    const launcher = await proxyd.publish(echo, {
      listenFd: fd,
      flags: [...proxyFlags(echo, { port }), '-use-listen-fd'],
      env: { DOCKER_PROXY_CONFIG: settings },
    })
    t.equal(await exchange(t, port, 'in the sandbox'), 'in the sandbox')
    await until(() => proxyd.lines.some(({ msg }) => msg === 'Connection closed'))
    t.match(await stop(launcher), { code: 0 })
  },
)

t.test('an unusable settings file delays no other port', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const path = join(t.testdir(), 'settings')
  requireCheckedSyscalls().makeFifo(path, 0o600)
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder, DOCKER_PROXY_CONFIG: path }
  const waiting = run(t, proxyFlags(echo), { env })
  const { port } = await proxyd.publish(echo)
  t.equal(await exchange(t, port, 'x'), 'x')
  // By now the program has replaced the launcher, and reads it.
  await writeFile(path, 'nonsense')
  t.match(await waiting.status, 'is not JSON')
  t.match(await waiting.exit, { code: 2 })

  const large = join(t.testdir({ large: ' '.repeat(100_000) }), 'large')
  const refused = run(t, proxyFlags(echo), { env: { ...env, DOCKER_PROXY_CONFIG: large } })
  t.match(await refused.status, 'is not JSON')
  const message = `A docker-proxy serves its port itself: only its own process can read its settings file "${large}"`
  t.ok(proxyd.lines.some(({ msg }) => msg === message))
})

t.test('an isolation that is none is refused where a docker-proxyd runs as well', async (t) => {
  const proxyd = await startProxyd(t)
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder, DOCKER_PROXY_ISOLATION: 'Process' }
  const running = run(t, proxyFlags(await startEcho(t)), { env })
  t.match(await running.status, '1\ninvalid setting "Process" for DOCKER_PROXY_ISOLATION')
  t.match(await running.exit, { code: 2 })
})

t.test('a variable that is no setting is refused where a docker-proxyd runs as well', async (t) => {
  const proxyd = await startProxyd(t)
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder, DOCKER_PROXY_ENGIN: 'streams' }
  const running = run(t, proxyFlags(await startEcho(t)), { env })
  t.match(await running.status, '1\nunknown setting DOCKER_PROXY_ENGIN in the environment')
  t.match(await running.exit, { code: 2 })
})

t.test(
  'a port of another network is served there, by the program',
  { skip: notRoot('namespaces') },
  async (t) => {
    const proxyd = await startProxyd(t)
    const inside = ['-n', 'sh', '-c', 'ip link set lo up; exec "$@"', 'sh', PROGRAM]
    const flags = proxyFlags({ ip: '127.0.0.1', port: 9 })
    const running = run(t, [...inside, ...flags], {
      program: 'unshare',
      env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
    })
    t.equal(await running.status, READY)
    t.notMatch(commandOf(running.pid), /^\/bin\/sh/)
    t.match(await stop(running), { code: 0 })
    t.match(proxyd.lines, [
      {
        msg: 'A docker-proxy serves its port itself: the launcher is in another network namespace',
      },
    ])
  },
)
