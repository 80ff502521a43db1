import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import { makeCertificates } from '../../lib/certificates.js'
import { freeRow } from '../../lib/free-row.js'
import { missing, notRoot } from '../../lib/program.js'
import { publish, PUBLISH, startDaemon } from '../../lib/publish.js'
import { listeningDescriptor } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const HEADER = /^NAME +BACKEND/

t.test('tcp:// on a loopback address, beside a unix socket', async (t) => {
  const port = freeRow(1)
  await startDaemon(t, {}, '-H', `tcp://127.0.0.1:${port}`)
  const { stdout, code } = await publish(t, ['ls', '-H', `tcp://127.0.0.1:${port}`])
  t.match(stdout, HEADER)
  t.equal(code, 0)
})

t.test('tcp:// elsewhere takes certificates of both sides', async (t) => {
  const port = freeRow(1)
  const folder = t.testdir()
  const { server, client } = makeCertificates(folder)
  const daemon = await startDaemon(t, {}, '-H', `tcp://0.0.0.0:${port}`, ...server)
  const host = ['-H', `tcp://127.0.0.1:${port}`]
  const good = await publish(t, ['ls', ...host, ...client])
  t.match(good, { code: 0, stdout: HEADER })
  t.match((await daemon.cli('ls')).stdout, HEADER, 'the unix socket goes without')

  const others = makeCertificates(t.testdir({ other: {} }) + '/other')
  t.match(await publish(t, ['ls', ...host, ...others.client]), {
    code: 1,
    stderr: /can't reach the daemon/,
  })
  t.match(await publish(t, ['ls', ...host]), { code: 1, stderr: /can't reach the daemon/ })
  const absent = [
    '--tlsverify',
    '--tlscacert',
    '/nowhere',
    '--tlscert',
    '/nowhere',
    '--tlskey',
    '/nowhere',
  ]
  t.match(await publish(t, ['ls', ...host, ...absent]), {
    code: 2,
    stderr:
      'docker-publish: can\'t read "/nowhere", named by --tlscacert: no such file or directory\n',
  })
})

t.test('fd:// takes the sockets of systemd', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'publish-test-'))
  // As systemd does: the socket exists before the daemon, which inherits it as descriptor 3.
  const { fd, port } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const early = publish(t, ['ls', '-H', `tcp://127.0.0.1:${port}`])
  const script = 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$0" "$@"'
  const args = [
    PUBLISH,
    'daemon',
    '-H',
    'fd://',
    '--data-root',
    folder,
    '--exec-root',
    join(folder, 'exec'),
  ]
  const child = spawn('/bin/sh', ['-c', script, ...args], {
    stdio: ['ignore', 'ignore', 'inherit', fd],
    env: { PATH: process.env['PATH'] },
  })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
    closeSync(fd)
    rmSync(folder, { recursive: true, force: true })
  })
  const { stdout, code } = await early
  t.match(stdout, HEADER, 'a client that came before the daemon is served')
  t.equal(code, 0)
  child.kill('SIGTERM')
  t.same(await exit, [0, null])

  const none = await publish(t, [
    'daemon',
    '-H',
    'fd://',
    '--data-root',
    folder,
    '--exec-root',
    folder,
  ])
  t.match(none, { code: 1, stderr: /^docker-publish: systemd handed over no socket for fd:\/\/: / })
})

t.test('leftovers of a killed daemon do not prevent the next start', async (t) => {
  const daemon = await startDaemon(t)
  await daemon.end('SIGKILL')
  const next = await daemon.again()
  t.match((await next.cli('ls')).stdout, HEADER)
})

t.test(
  "others than root have XDG's folders",
  { skip: notRoot('to be another user') },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'publish-test-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const uid = 65_534
    execaSync('chown', [String(uid), folder])
    const env = {
      PATH: process.env['PATH'],
      XDG_RUNTIME_DIR: join(folder, 'run'),
      XDG_STATE_HOME: join(folder, 'state'),
    }
    execaSync('mkdir', ['-p', env.XDG_RUNTIME_DIR], { uid })
    const child = spawn(PUBLISH, ['daemon', '--log-level', 'silent'], { uid, env, stdio: 'ignore' })
    const exit = once(child, 'exit')
    t.teardown(async () => {
      child.kill('SIGTERM')
      await exit
    })
    const client = (...args: string[]): string =>
      execaSync(PUBLISH, args, {
        uid,
        env,
        extendEnv: false,
        stdio: ['ignore', 'pipe', 'ignore'],
      }).stdout
    await until(() => {
      try {
        return HEADER.test(client('ls'))
      } catch {
        return false
      }
    })
    t.match(
      client('add', '-p', '127.0.0.1::80', '--name', 'a', '127.0.0.9'),
      /^a: 127\.0\.0\.1:\d+->80\/tcp/,
    )
    t.match(readFileSync(join(folder, 'state/docker-publish/state.json'), 'utf8'), '"name": "a"')
    t.equal(client('rm', 'a'), 'a')
  },
)

/** A real sshd on a loopback port, and a folder with an `ssh` that connects to it. */
async function startSshd(t: Test): Promise<{ port: number; bin: string }> {
  const folder = mkdtempSync(join(tmpdir(), 'publish-ssh-'))
  const port = freeRow(1)
  const file = (name: string): string => join(folder, name)
  for (const key of ['host', 'user'])
    execaSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)])
  const socketHost = file('daemon.sock')
  writeFileSync(
    file('sshd_config'),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('user.pub')}`,
      `PidFile none`,
      'StrictModes no',
      'UsePAM no',
      `SetEnv PATH=${dirname(PUBLISH)}:${process.env['PATH'] ?? ''} DOCKER_PUBLISH_HOST=unix://${socketHost}`,
    ].join('\n') + '\n',
  )
  writeFileSync(
    file('ssh_config'),
    `IdentityFile ${file('user')}\nStrictHostKeyChecking no\nUserKnownHostsFile /dev/null\nLogLevel ERROR\n`,
  )
  mkdirSync(file('bin'))
  writeFileSync(file('bin/ssh'), `#!/bin/sh\nexec /usr/bin/ssh -F ${file('ssh_config')} "$@"\n`)
  chmodSync(file('bin/ssh'), 0o755)
  mkdirSync('/run/sshd', { recursive: true })
  const sshd = spawn('/usr/sbin/sshd', ['-D', '-f', file('sshd_config'), '-E', file('log')], {
    stdio: 'ignore',
  })
  const exit = once(sshd, 'exit')
  t.teardown(async () => {
    sshd.kill('SIGTERM')
    await exit
    rmSync(folder, { recursive: true, force: true })
  })
  await until(() => readFileSync(openSync(file('log'), 'a+'), 'utf8').includes('Server listening'))
  return { port, bin: file('bin') }
}

const noSshd = missing('/usr/sbin/sshd', 'openssh-server') || notRoot('for sshd')
t.test('ssh:// reaches the daemon over there', { skip: noSshd }, async (t) => {
  const { port, bin } = await startSshd(t)
  const socket = join(dirname(bin), 'daemon.sock')
  const daemon = await startDaemon(t, {}, '-H', `unix://${socket}`)
  const env = { PATH: `${bin}:${process.env['PATH'] ?? ''}` }
  const host = ['-H', `ssh://${userInfo().username}@127.0.0.1:${port}`]
  const added = await publish(
    t,
    ['add', ...host, '-p', '127.0.0.1::80', '--name', 'a', '127.0.0.9'],
    env,
  )
  t.match(added, { code: 0, stdout: /^a: 127\.0\.0\.1:\d+->80\/tcp\n$/, stderr: '' })
  t.match(await publish(t, ['ls', ...host], env), { code: 0, stdout: /a +127\.0\.0\.9/ })
  t.match(await publish(t, ['rm', ...host, 'a'], env), { code: 0, stdout: 'a\n' })
  t.same(await daemon.client.list(), [])
  await daemon.end('SIGTERM')
  t.match(await publish(t, ['ls', ...host], env), {
    code: 1,
    stderr: /can't reach the daemon at ssh:\/\//,
  })
})
