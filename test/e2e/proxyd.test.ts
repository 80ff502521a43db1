import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import {
  appendFileSync,
  chmodSync,
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import t, { type Test } from 'tap'
import { requireLibc } from '../../src/linux/libc.js'
import { ask, bindUdp, startUdpEcho } from '../lib/datagrams.js'
import { makeFifo } from '../lib/fifo.js'
import { listeningPort, openDescriptors } from '../lib/proc.js'
import {
  missing,
  notRoot,
  PROGRAM,
  proxyFlags,
  READY,
  run,
  startProxy,
  stop,
} from '../lib/program.js'
import { PROXYD, runFolder, startProxyd, untilAsked } from '../lib/proxyd.js'
import { dial, exchange, listeningDescriptor, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

/** pino's number of the level. */
const INFO = 30

const commandOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trimEnd()

const refused = (t: Test, port: number): Promise<unknown> =>
  t.rejects(dial(t, port), { code: 'ECONNREFUSED' })

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
    await refused(t, launcher.port)
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
  await until(() => openDescriptors(proxyd.pid) === before)
})

t.test('what is refused, is so in the words of the program', async (t) => {
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

t.test('who is refused ends, whether anybody reads its stderr or not', async (t) => {
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
  // Its own folder is where a name may start from.
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

t.test('a settings file that is none holds up nobody else', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const path = join(t.testdir(), 'settings')
  requireLibc().makeFifo(path, 0o600)
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder, DOCKER_PROXY_CONFIG: path }
  const waiting = run(t, proxyFlags(echo), { env })
  const { port } = await proxyd.publish(echo)
  t.equal(await exchange(t, port, 'x'), 'x')
  // It is the program by now that reads it.
  await writeFile(path, 'nonsense')
  t.match(await waiting.status, 'is not JSON')
  t.match(await waiting.exit, { code: 2 })

  const large = join(t.testdir({ large: ' '.repeat(100_000) }), 'large')
  const refused = run(t, proxyFlags(echo), { env: { ...env, DOCKER_PROXY_CONFIG: large } })
  t.match(await refused.status, 'is not JSON')
  const told = `A docker-proxy serves its port itself: its own settings file "${large}" is to be read by itself`
  t.ok(proxyd.lines.some(({ msg }) => msg === told))
})

t.test('without a docker-proxyd it is the program itself', async (t) => {
  const echo = await startEcho(t)
  const folder = runFolder(t)
  const alone = await startProxy(t, echo, { env: { DOCKER_PROXY_RUN_DIR: folder } })
  t.equal(await exchange(t, alone.port, 'alone'), 'alone')
  await stop(alone)

  const proxyd = await startProxyd(t, { folder })
  const asked = await startProxy(t, echo, {
    env: { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ISOLATION: 'process' },
  })
  t.equal(await exchange(t, asked.port, 'asked for'), 'asked for')
  await stop(asked)
  t.match(await stop(proxyd), { code: 0 })
  t.notOk(existsSync(join(folder, 'pid')))
})

t.test('what must share one is refused without a docker-proxyd', async (t) => {
  const folder = runFolder(t)
  for (const [isolation, text] of [
    [
      'shared',
      `DOCKER_PROXY_ISOLATION is shared, and no docker-proxyd in ${folder} serves this port: start docker-proxyd, see why in its log, or set it to auto`,
    ],
    [
      'alone',
      'invalid setting "alone" for DOCKER_PROXY_ISOLATION: use one of auto, process, shared',
    ],
  ] as const) {
    const env = { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ISOLATION: isolation }
    const running = run(t, proxyFlags(await startEcho(t)), { env })
    t.equal(await running.status, `1\n${text}`)
    t.equal(await running.stderr, `${text}\n`)
    t.match(await running.exit, { code: 2 })
  }
})

t.test('a copy of the launcher alone finds its program', async (t) => {
  const copy = join(t.testdir(), 'docker-proxy')
  copyFileSync(PROGRAM, copy)
  const echo = await startEcho(t)
  const running = await startProxy(t, echo, { program: copy })
  t.equal(await exchange(t, running.port, 'copied'), 'copied')
  t.match(commandOf(running.pid), copy)
  await stop(running)
})

t.test('a docker-proxyd that dies is followed by one that goes on', async (t) => {
  const first = await startProxyd(t)
  const echo = await startEcho(t)
  const own = await first.publish(echo)
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const handed = await first.publish(echo, {
    listenFd: fd,
    flags: [...proxyFlags(echo, { port }), '-use-listen-fd'],
  })
  first.child.kill('SIGKILL')
  await first.exit
  await refused(t, own.port)
  // The launcher has the socket: who comes now waits in its backlog.
  const meanwhile = exchange(t, port, 'meanwhile')

  const second = await startProxyd(t, { folder: first.folder })
  t.equal(await meanwhile, 'meanwhile')
  t.equal(await second.portOf(handed.pid), port)
  t.equal(await exchange(t, await second.portOf(own.pid), 'again'), 'again')
  t.match(await stop(own), { code: 0 })
  t.match(await stop(handed), { code: 0 })
})

t.test('a launcher without a docker-proxyd ends when it is told to', async (t) => {
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(await startEcho(t))
  t.match(await stop(proxyd), { code: 0 })
  t.match(await stop(launcher), { code: 0, signal: null })
})

t.test('there is one docker-proxyd for a folder', async (t) => {
  const proxyd = await startProxyd(t)
  const second = run(t, ['--run-dir', proxyd.folder], {
    program: PROXYD,
  })
  t.match(await second.exit, { code: 1 })
  t.equal(
    await second.stderr,
    `docker-proxyd: another docker-proxyd uses ${proxyd.folder}: stop it, or name another folder with --run-dir\n`,
  )
})

t.test('an isolation that is none is refused where a docker-proxyd runs as well', async (t) => {
  const proxyd = await startProxyd(t)
  const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder, DOCKER_PROXY_ISOLATION: 'Process' }
  const running = run(t, proxyFlags(await startEcho(t)), { env })
  t.match(await running.status, '1\ninvalid setting "Process" for DOCKER_PROXY_ISOLATION')
  t.match(await running.exit, { code: 2 })
})

t.test('a folder that others may write to is not used', async (t) => {
  const folder = runFolder(t)
  chmodSync(folder, 0o777)
  const open = run(t, ['--run-dir', folder], { program: PROXYD })
  t.match(await open.exit, { code: 1 })
  t.equal(
    await open.stderr,
    `docker-proxyd: can't use the folder ${folder}: others may write to it; take that away with chmod go-w, or name another with --run-dir\n`,
  )
  t.same(readdirSync(folder), [])
})

t.test("nor one of another user's", { skip: notRoot('to give a folder away') }, async (t) => {
  const NOBODY = 65_534
  const proxyd = await startProxyd(t)
  chownSync(proxyd.folder, NOBODY, NOBODY)
  const alone = await startProxy(t, await startEcho(t), {
    env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
  })
  t.equal(await exchange(t, alone.port, 'alone'), 'alone')
  await stop(alone)
  await stop(proxyd)
  const next = run(t, ['--run-dir', proxyd.folder], { program: PROXYD })
  t.match(await next.exit, { code: 1 })
  t.match(await next.stderr, `it belongs to user ${NOBODY}, not to the one that runs this`)
})

t.test('a signal right after the start is never lost', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  for (let i = 0; i < 100; i++) {
    const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
    t.equal(await launcher.status, READY)
    launcher.child.kill('SIGINT')
    const { code } = await launcher.exit
    if (code !== 0) t.equal(code, 0, `launcher ${i}`)
  }
  // Some have said it twice, which is no fault of anybody's.
  t.strictSame(
    proxyd.lines.filter(({ level }) => level !== INFO),
    [],
  )
})

for (const [shell, path, packageName] of [
  [['dash'], '/bin/dash', 'dash'],
  [['bash'], '/bin/bash', 'bash'],
  [['busybox', 'ash'], '/bin/busybox', 'busybox-static'],
] as const) {
  t.test(
    `the launcher under ${shell.join(' ')}`,
    { skip: missing(path, packageName) },
    async (t) => {
      const proxyd = await startProxyd(t)
      const echo = await startEcho(t)
      const [program, ...args] = shell
      const flags = [...args, PROGRAM, ...proxyFlags(echo)]
      // Of use to bash alone.
      const env = { SHELLOPTS: 'nounset:errexit' }
      const launcher = await proxyd.publish(echo, { program, flags, env })
      t.equal(await exchange(t, launcher.port, 'hello'), 'hello')
      t.match(await stop(launcher), { code: 0 })

      const taken = run(t, [...args, PROGRAM, ...proxyFlags(echo, { port: echo.port })], {
        program,
        env: { DOCKER_PROXY_RUN_DIR: proxyd.folder, ...env },
      })
      t.match(await taken.exit, { code: 1 })
      const reason = `failed to listen on 127.0.0.1:${echo.port}: listen tcp4 127.0.0.1:${echo.port}: bind: address already in use`
      t.equal(await taken.status, `1\n${reason}`)
      t.equal(await taken.stderr, `${reason}\n`)
    },
  )
}

t.test('a launcher of another name serves its port itself', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const folder = t.testdir()
  symlinkSync(PROGRAM, join(folder, 'my-proxy'))
  copyFileSync(PROGRAM, join(folder, 'docker-proxy-copy'))
  for (const name of ['my-proxy', 'docker-proxy-copy']) {
    const env = { DOCKER_PROXY_RUN_DIR: proxyd.folder }
    const running = run(t, proxyFlags(echo), { program: join(folder, name), env })
    t.equal(await running.status, READY, name)
    t.notMatch(commandOf(running.pid), /^\/bin\/sh/)
    t.match(await stop(running), { code: 0 })
  }
})

t.test(
  'one that was started with a signal ignored, which a shell can not undo, is the program',
  async (t) => {
    const proxyd = await startProxyd(t)
    const echo = await startEcho(t)
    const running = run(t, ['-c', `trap '' INT; exec "$@"`, 'sh', PROGRAM, ...proxyFlags(echo)], {
      program: '/bin/sh',
      env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
    })
    t.equal(await running.status, READY)
    running.child.kill('SIGINT')
    t.same(await running.exit, { code: 0, signal: null })
  },
)

t.test('who was told to end before it becomes the program does not become it', async (t) => {
  const proxyd = await startProxyd(t)
  proxyd.child.kill('SIGSTOP')
  const [echo, env] = [await startEcho(t), { DOCKER_PROXY_RUN_DIR: proxyd.folder }]
  const launchers = Array.from({ length: 20 }, () =>
    run(t, ['-c', `trap '' INT; exec "$@"`, 'sh', PROGRAM, ...proxyFlags(echo)], {
      program: '/bin/sh',
      env,
    }),
  )
  await untilAsked(launchers)
  for (const { child } of launchers) child.kill('SIGTERM')
  proxyd.child.kill('SIGCONT')
  for (const { exit, status } of launchers) {
    t.same(await exit, { code: 0, signal: null })
    t.equal(await status, '')
  }
})

/** A launcher in which a command is run at a place of its own. */
function launcherWith(t: Test, before: string, command: string): string {
  const script = join(t.testdir(), 'docker-proxy')
  const text = readFileSync(PROGRAM, 'utf8')
  t.ok(text.includes(before))
  writeFileSync(
    script,
    text.replace(before, () => `${command}\n${before}`),
    { mode: 0o755 },
  )
  return script
}

for (const shell of [['dash'], ['bash'], ['busybox', 'ash']]) {
  t.test(`${shell.join(' ')}: a signal just before it has asked is not lost`, async (t) => {
    const proxyd = await startProxyd(t)
    const echo = await startEcho(t)
    const script = launcherWith(t, "printf '\\nstart %s\\n' $$ >&9", 'kill -INT $$')
    const [program = '', ...args] = [...shell, script, ...proxyFlags(echo)]
    const launcher = run(t, args, { program, env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
    t.same(await launcher.exit, { code: 0, signal: null })
  })
}

t.test('a stop that docker-proxyd has read and not answered is heard by the next', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const launcher = await proxyd.publish(echo)
  process.kill(proxyd.pid, 'SIGSTOP')
  launcher.child.kill('SIGTERM')
  const control = openSync(join(proxyd.folder, 'control'), 'r+')
  const request = Buffer.alloc(64)
  const length = readSync(control, request)
  t.equal(request.toString('latin1', 0, length), `\nstop ${launcher.pid}\n`)
  closeSync(control)
  proxyd.child.kill('SIGKILL')
  await proxyd.exit
  await startProxyd(t, { folder: proxyd.folder })
  t.same(await launcher.exit, { code: 0, signal: null })
  await refused(t, launcher.port)
})

for (const engine of ['native', 'streams']) {
  t.test(
    `told to end while it is being bound, its port is free when it has, ${engine}`,
    async (t) => {
      const proxyd = await startProxyd(t, { env: { DOCKER_PROXY_ENGINE: engine } })
      const echo = await startEcho(t)
      for (let i = 0; i < 20; i++) {
        proxyd.child.kill('SIGSTOP')
        const launcher = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
        await untilAsked([launcher])
        launcher.child.kill('SIGTERM')
        proxyd.child.kill('SIGCONT')
        t.same(await launcher.exit, { code: 0, signal: null })
        t.throws(() => listeningPort(proxyd.pid), { message: 'does not listen' })
      }
    },
  )
}

t.test('a launcher that ends while docker-proxyd does leaves its port free', async (t) => {
  const proxyd = await startProxyd(t)
  const echo = await startEcho(t)
  const launcher = await proxyd.publish(echo)
  proxyd.child.kill('SIGTERM')
  await until(() => !existsSync(join(proxyd.folder, 'pid')))
  if (existsSync(`/proc/${proxyd.pid}`)) process.kill(proxyd.pid, 'SIGSTOP')
  launcher.child.kill('SIGTERM')
  t.same(await launcher.exit, { code: 0, signal: null })
  await refused(t, launcher.port)
  process.kill(proxyd.pid, 'SIGCONT')
  await proxyd.exit
})

t.test('a reload of one that only starts does not end it', async (t) => {
  const first = await startProxyd(t)
  // For as long as that does not answer, the next one does not get further.
  process.kill(first.pid, 'SIGSTOP')
  const next = run(t, ['--run-dir', first.folder, '--replace'], { program: PROXYD })
  const status = (): string => readFileSync(`/proc/${next.pid}/status`, 'utf8')
  await until(() => /^SigCgt:\s+\w*[8-9a-f]\w\w$/m.test(status()))
  process.kill(next.pid, 'SIGUSR2')
  process.kill(first.pid, 'SIGCONT')
  await once(next.child.stdout as Readable, 'data')
  t.match(await first.exit, { code: 0 })
  t.match(await stop(next), { code: 0 })
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
      { msg: 'A docker-proxy serves its port itself: it is in another network' },
    ])
  },
)

t.test('systemd is told', { skip: missing('/usr/bin/socat', 'socat') }, async (t) => {
  const path = join(runFolder(t), 'notify')
  const systemd = run(t, ['-u', `UNIX-RECV:${path}`, '-'], { program: 'socat' })
  await until(() => existsSync(path))
  const { pid } = await startProxyd(t, { env: { NOTIFY_SOCKET: path } })
  const [said] = (await once(systemd.child.stdout ?? t, 'data')) as [Buffer]
  t.equal(said.toString(), `MAINPID=${pid}\nREADY=1`)
})

t.test(
  'systemd is told again and again that it is not hung',
  { skip: missing('/usr/bin/socat', 'socat') },
  async (t) => {
    const path = join(runFolder(t), 'notify')
    const systemd = run(t, ['-u', `UNIX-RECV:${path}`, '-'], { program: 'socat' })
    await until(() => existsSync(path))
    let said = ''
    systemd.child.stdout?.on('data', (text: Buffer) => (said += text.toString()))
    const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' }
    const first = await startProxyd(t, { env })
    await until(() => said.split('WATCHDOG=1').length > 3)
    const second = await startProxyd(t, { folder: first.folder, args: ['--replace'] })
    t.match(await first.exit, { code: 0 })
    t.match(await stop(second), { code: 0 })
  },
)

t.test('the version, and options that can not be followed', async (t) => {
  const program = PROXYD
  t.match(
    execFileSync(program, ['--version'], { encoding: 'utf8' }),
    /^docker-proxyd \(commit .*\) version /,
  )
  for (const [args, text] of [
    [
      ['--workers', '17'],
      'docker-proxyd: invalid setting "17" for --workers: use auto, or 1 to 16\n',
    ],
    [['--fast'], 'docker-proxyd: Unknown argument: fast\n'],
    [['--run-dir='], 'docker-proxyd: --run-dir "": name a folder\n'],
    [['now'], 'docker-proxyd: there are only options here\n'],
  ] as const) {
    const running = run(t, ['--run-dir', runFolder(t), ...args], { program })
    t.match(await running.exit, { code: 2 })
    t.equal(await running.stderr, text)
  }
})

t.test(
  'what was left on the control pipe without an end does no harm to who comes next',
  async (t) => {
    const echo = await startEcho(t)
    const proxyd = await startProxyd(t)
    appendFileSync(join(proxyd.folder, 'control'), 'garbage')
    const launcher = await proxyd.publish(echo)
    appendFileSync(join(proxyd.folder, 'control'), 'more of it')
    t.match(await stop(launcher), { code: 0 })
    await until(() => proxyd.lines.filter(({ line }) => line === 'garbage').length === 1)
  },
)

t.test('a launcher whose program was moved away says so', async (t) => {
  const folder = t.testdir()
  const launcher = join(folder, 'docker-proxy')
  const text = readFileSync(PROGRAM, 'utf8').replaceAll(join(PROGRAM, '..'), '/nowhere')
  writeFileSync(launcher, text, { mode: 0o755 })
  const running = run(t, ['-host-port', '0'], { program: launcher })
  const reason =
    'docker-proxy has been moved away from /nowhere/docker-proxy-process: install it again, or link to it'
  t.equal(await running.status, `1\n${reason}`)
  t.equal(await running.stderr, `${reason}\n`)
  t.match(await running.exit, { code: 1 })
})
