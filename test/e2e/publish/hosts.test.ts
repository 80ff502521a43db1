import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  closeSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { tmpdir, userInfo } from 'node:os'
import { dirname, join } from 'node:path'
import { execaSync } from 'execa'
import t, { type Test } from 'tap'
import { makeCertificates } from '../../lib/certificates.js'
import { freeRow } from '../../lib/free-row.js'
import { missing, notRoot, run } from '../../lib/program.js'
import { publish, PUBLISH, startDaemon } from '../../lib/publish.js'
import { openDescriptors } from '../../lib/proc.js'
import { dial, listeningDescriptor, readAll } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

const HEADER = /^NAME +BACKEND/
const notRootReason = notRoot('to be another user')

/** Sends a request with these headers. @returns the status */
async function statusOf(port: number, headers: Record<string, string>): Promise<number> {
  const sent = request({ host: '127.0.0.1', port, path: '/v1/publications', headers })
  sent.end()
  const [response] = (await once(sent, 'response')) as [IncomingMessage]
  response.resume()
  return response.statusCode ?? 0
}

t.test('tcp:// on a loopback address is open only if that is requested', async (t) => {
  const port = freeRow(1)
  const host = ['-H', `tcp://127.0.0.1:${port}`]
  // A daemon of this machine may use the default folders.
  const folder = t.testdir()
  const roots = ['--data-root', folder, '--exec-root', folder]
  t.match(await publish(t, ['daemon', ...roots, ...host]), {
    code: 2,
    stderr:
      /would give every local user the rights of the daemon: use --token-file FILE; use --tlsverify .*; or accept it with --insecure\n$/,
  })
  const daemon = await startDaemon(t, {}, ...host, '--insecure')
  t.match(await publish(t, ['ls', ...host]), { code: 0, stdout: HEADER })
  t.equal(await statusOf(port, {}), 200)
  t.equal(await statusOf(port, { host: 'localhost' }), 200)
  const origin = `http://127.0.0.1:${port}`
  t.equal(await statusOf(port, { host: `127.0.0.1:${port}`, origin }), 200, 'a page of the daemon')
  t.equal(await statusOf(port, { host: 'rebound.example' }), 403, 'DNS rebinding')
  t.equal(await statusOf(port, { origin: 'http://example.com' }), 403, 'a web page')
  t.equal(await statusOf(port, { 'sec-fetch-site': 'cross-site' }), 403, 'an image of a web page')
  await daemon.end('SIGTERM')
  t.match(await daemon.running.stderr, /Every local user can publish ports/)
})

t.test('tcp:// with a token', async (t) => {
  const port = freeRow(1)
  const host = ['-H', `tcp://127.0.0.1:${port}`]
  const file = join(t.testdir(), 'token')
  const daemon = await startDaemon(t, {}, ...host, '--token-file', file)
  t.equal(statSync(file).mode & 0o777, 0o600)
  t.match(await publish(t, ['ls', ...host, '--token-file', file]), { code: 0, stdout: HEADER })
  await daemon.client.add({ name: 'web_svr01', backend: '127.0.0.1', ports: ['80'] })
  const words = ['docker-publish', 'rm', ...host, '--token-file', file, '']
  const completion = await publish(t, ['--get-yargs-completions', ...words])
  t.equal(completion.stdout, 'web_svr01\n', 'names are completed with the token')
  const env = { DOCKER_PUBLISH_TOKEN_FILE: file }
  t.match(await publish(t, ['ls', ...host], env), { code: 0, stdout: HEADER })
  t.match(await publish(t, ['ls', ...host]), {
    code: 1,
    stderr: /refused the request: the request has no token: name its file with --token-file/,
  })
  t.equal(await statusOf(port, { authorization: 'Bearer wrong' }), 401)
  const token = readFileSync(file, 'utf8').trim()
  t.equal(await statusOf(port, { authorization: `Bearer ${token}` }), 200)
  const authorization = `Bearer ${token}`
  t.equal(await statusOf(port, { authorization, host: 'rebound.example' }), 403)
  t.match((await daemon.cli('ls')).stdout, HEADER, 'the unix socket goes without')
  chmodSync(file, 0o644)
  t.match(await publish(t, ['ls', ...host, '--token-file', file]), {
    code: 2,
    stderr: /other users can access the token file .*: prevent that with chmod go-rwx/,
  })
  writeFileSync(file, 'short')
  chmodSync(file, 0o600)
  t.match(await publish(t, ['ls', ...host, '--token-file', file]), {
    code: 2,
    stderr: /contains no token: expected at least 16 letters/,
  })
})

t.test('the folder of certificates comes from the environment', async (t) => {
  const port = freeRow(1)
  const folder = t.testdir()
  const { server } = makeCertificates(folder)
  await startDaemon(t, {}, '-H', `tcp://127.0.0.1:${port}`, ...server)
  copyFileSync(join(folder, 'client.pem'), join(folder, 'cert.pem'))
  copyFileSync(join(folder, 'client.key'), join(folder, 'key.pem'))
  const env = { DOCKER_PUBLISH_CERT_PATH: folder }
  const ls = ['ls', '-H', `tcp://127.0.0.1:${port}`]
  t.match(await publish(t, ls, env), { code: 0, stdout: HEADER })
  t.match(await publish(t, [...ls, '--no-tlsverify'], env), { code: 1 })
})

t.test('the group of the unix socket', { skip: notRoot('to give a file away') }, async (t) => {
  const daemon = await startDaemon(t, {}, '--group', '65534')
  const { gid, mode } = statSync(join(daemon.folder, 'socket'))
  t.equal(gid, 65_534)
  t.equal(mode & 0o777, 0o660)
  t.match(await publish(t, ['daemon', '--group', 'no-such-group']), {
    code: 2,
    stderr:
      /^docker-publish: --group "no-such-group": there is no such group; make it with groupadd/,
  })
})

t.test(
  'a client waits for a daemon that is starting, and not for one that is absent',
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'publish-test-'))
    t.teardown(() => rmSync(folder, { recursive: true, force: true }))
    const host = `unix://${join(folder, 'socket')}`
    const roots = ['--data-root', folder, '--exec-root', folder]
    const daemon = run(t, ['daemon', '-H', host, ...roots], { program: PUBLISH, status: 'ignore' })
    await once(daemon.child, 'spawn')
    t.match(await publish(t, ['ls', '-H', host]), { code: 0, stdout: HEADER })
    daemon.child.kill('SIGTERM')
    await daemon.exit
    t.match(await publish(t, ['ls', '-H', host]), {
      code: 1,
      stderr: /start it with "docker-publish daemon"/,
    })
  },
)

t.test('a file that is no socket is named as such', async (t) => {
  const file = process.execPath
  t.match(await publish(t, ['ls', '-H', `unix://${file}`]), {
    code: 1,
    stderr: `docker-publish: can't reach the daemon at unix://${file}: ${file} is not a socket; name another one with -H\n`,
  })
})

t.test('silent connections do not lock others out with TLS', async (t) => {
  const port = freeRow(1)
  const { server, client } = makeCertificates(t.testdir())
  const host = ['-H', `tcp://127.0.0.1:${port}`]
  const daemon = await startDaemon(t, {}, ...host, ...server)
  await Promise.all(Array.from({ length: 300 }, () => dial(t, port)))
  t.match(await publish(t, ['ls', ...host, ...client]), { code: 0, stdout: HEADER })
  await until(() => openDescriptors(daemon.running.pid) < 100)
})

t.test('silent connections do not lock others out', async (t) => {
  const port = freeRow(1)
  const host = ['-H', `tcp://127.0.0.1:${port}`]
  const daemon = await startDaemon(t, {}, ...host, '--insecure')
  const silent = await Promise.all(Array.from({ length: 300 }, () => dial(t, port)))
  t.match(await publish(t, ['ls', ...host]), { code: 0, stdout: HEADER })
  // Those that came last are still there, and end after their time.
  const [last] = silent.slice(-1)
  if (last) t.match(await readAll(last), /^HTTP\/1\.1 4\d\d /)
  await until(() => openDescriptors(daemon.running.pid) < 100)
})

t.test(
  'tcp:// elsewhere takes certificates of both sides, and says what is wrong with them',
  async (t) => {
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
      stderr:
        /TLS with the daemon at tcp:.* failed: .*; check that it uses TLS, and that --tlscacert/,
    })
    t.match(await publish(t, ['ls', ...host]), {
      code: 1,
      stderr: /closed the connection: if it uses TLS, add --tlsverify/,
    })
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
  },
)

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
    '--insecure',
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

t.test('a daemon that hangs, and one that the user may not ask', async (t) => {
  const daemon = await startDaemon(t)
  if (!notRootReason) {
    const other = run(t, ['ls', '-H', daemon.host], { program: PUBLISH, uid: 65_534 })
    t.match(await other.exit, { code: 1 })
    t.match(await other.stderr, /permission denied/)
  }
  process.kill(daemon.running.pid, 'SIGSTOP')
  const hung = await daemon.cli('ls')
  process.kill(daemon.running.pid, 'SIGCONT')
  t.match(hung, { code: 1, stderr: /does not answer: it may hang, or something else listens/ })
})
