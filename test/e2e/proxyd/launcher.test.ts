import {
  chownSync,
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { once } from 'node:events'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import { missing, notRoot, PROGRAM, proxyFlags, READY, run, stop } from '../../lib/program.js'
import { PROXYD, runFolder, startProxyd, untilAsked } from '../../lib/proxyd.js'
import { ownProcess } from '../../lib/target.js'
import { exchange, startEcho } from '../../lib/sockets.js'

/** pino's number of the level. */
const INFO = 30

const commandOf = (pid: number): string =>
  readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trimEnd()

/** A launcher in which a command is inserted at a given place. */
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

t.test('without a docker-proxyd it is the program itself', async (t) => {
  const echo = await startEcho(t)
  const folder = runFolder(t)
  const alone = await ownProcess.startProxy(t, echo, { env: { DOCKER_PROXY_RUN_DIR: folder } })
  t.equal(await exchange(t, alone.port, 'alone'), 'alone')
  await stop(alone)

  const proxyd = await startProxyd(t, { folder })
  const own = await ownProcess.startProxy(t, echo, {
    env: { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ISOLATION: 'process' },
  })
  t.equal(await exchange(t, own.port, 'own for'), 'own for')
  await stop(own)
  t.match(await stop(proxyd), { code: 0 })
  t.notOk(existsSync(join(folder, 'pid')))
})

t.test('isolation shared is refused without a docker-proxyd', async (t) => {
  const folder = runFolder(t)
  for (const [isolation, text] of [
    [
      'shared',
      `DOCKER_PROXY_ISOLATION is shared, and no docker-proxyd in ${folder} serves this port: start docker-proxyd, read its log if it has ended, or set DOCKER_PROXY_ISOLATION to auto`,
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
  const running = await ownProcess.startProxy(t, echo, { program: copy })
  t.equal(await exchange(t, running.port, 'copied'), 'copied')
  t.match(commandOf(running.pid), copy)
  await stop(running)
})

t.test('a launcher without a docker-proxyd ends on a signal', async (t) => {
  const proxyd = await startProxyd(t)
  const launcher = await proxyd.publish(await startEcho(t))
  t.match(await stop(proxyd), { code: 0 })
  t.match(await stop(launcher), { code: 0, signal: null })
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
  // Some have sent the request twice, which is not an error.
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
      // Only bash uses it.
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

t.test(
  'a launcher that was stopped before it becomes the program does not become it',
  async (t) => {
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
  },
)

for (const shell of [['dash'], ['bash'], ['busybox', 'ash']]) {
  t.test(`${shell.join(' ')}: a signal just before the request is not lost`, async (t) => {
    const proxyd = await startProxyd(t)
    const echo = await startEcho(t)
    const script = launcherWith(t, "printf '\\nstart %s\\n' $$ >&9", 'kill -INT $$')
    const [program = '', ...args] = [...shell, script, ...proxyFlags(echo)]
    const launcher = run(t, args, { program, env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
    t.same(await launcher.exit, { code: 0, signal: null })
  })
}

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

t.test(
  'a link in XDG_RUNTIME_DIR is not followed',
  { skip: notRoot('to be another user') },
  async (t) => {
    const NOBODY = 65_534
    const runtime = runFolder(t)
    const elsewhere = runFolder(t)
    symlinkSync(elsewhere, join(runtime, 'docker-proxy'))
    for (const folder of [runtime, elsewhere]) chownSync(folder, NOBODY, NOBODY)
    const server = run(t, ['--run-dir', elsewhere], { program: PROXYD, uid: NOBODY })
    await once(server.child.stdout as Readable, 'data')
    const env = { XDG_RUNTIME_DIR: runtime }
    const alone = run(t, proxyFlags(await startEcho(t)), { env, uid: NOBODY })
    t.equal(await alone.status, READY)
    t.notMatch(commandOf(alone.pid), /^\/bin\/sh/, 'it serves its port itself')
    t.match(await stop(alone), { code: 0 })
    t.match(await stop(server), { code: 0 })
  },
)

t.test(
  'a docker-proxyd that another user has planted is ignored',
  { skip: notRoot('to give files away') },
  async (t) => {
    const folder = runFolder(t)
    const control = join(folder, 'control')
    const server = join(folder, 'server')
    execaSync('mkfifo', [control])
    const fd = openSync(control, 'r+')
    t.teardown(() => closeSync(fd))
    writeFileSync(server, `${process.pid} ${fd}\n`)
    const echo = await startEcho(t)
    for (const planted of [server, control]) {
      chownSync(planted, 65_534, 65_534)
      const running = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: folder } })
      t.equal(await running.status, READY, `${planted} belongs to another user`)
      t.match(await stop(running), { code: 0 })
      chownSync(planted, 0, 0)
    }
  },
)
