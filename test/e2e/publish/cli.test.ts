import { once } from 'node:events'
import { mkdirSync, openSync, readdirSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { execaSync } from 'execa'
import t from 'tap'
import { processCommand, processIds } from '../../../src/linux/proc/process.js'
import { freeRow } from '../../lib/free-row.js'
import { notRoot, PROGRAM, proxyFlags, run } from '../../lib/program.js'
import { PROXYD } from '../../lib/proxyd.js'
import { publish, PUBLISH } from '../../lib/publish.js'
import { assertReleased } from '../../lib/released.js'
import { exchange, startEcho } from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

t.test('a command line that makes no sense: one line, exit code 2', async (t) => {
  const cases: [string, string][] = [
    ['', 'docker-publish: a command is missing: see docker-publish --help'],
    ['fly', 'docker-publish: unknown command "fly": see docker-publish --help'],
    ['help fly', 'docker-publish: unknown command "fly": see docker-publish --help'],
    ['--fly', 'docker-publish: unknown argument "--fly": see docker-publish --help'],
    ['run 127.0.0.1', 'docker-publish: missing option --publish: at least one -p is needed'],
    ['check -p99999', 'docker-publish: invalid port "99999"'],
    ['run -p 80', 'docker-publish: <container> is missing: see docker-publish run --help'],
    [
      'run -p 99999:80 127.0.0.1',
      'docker-publish: invalid port "99999:80": the host port 99999 is not',
    ],
    [
      'run -p 80 1.2.3',
      'docker-publish: invalid backend "1.2.3": expected an IP address or the name of a container',
    ],
    [
      'run -p 80 --name a/b 127.0.0.1',
      'docker-publish: invalid name "a/b": expected a letter or digit',
    ],
    ['check', 'docker-publish: missing option --publish'],
    ['ls --nope', 'docker-publish: unknown argument "--nope": see docker-publish ls --help'],
    ['check -p', 'docker-publish: the option -p needs a value: see docker-publish check --help'],
    ['ls -H tcp://nowhere', 'docker-publish: invalid host "tcp://nowhere": expected unix:///PATH'],
    ['ls -H http://127.0.0.1:80', 'docker-publish: invalid host "http://127.0.0.1:80"'],
    ['ls --tlsverify', 'docker-publish: --tlsverify needs --tlscacert, --tlscert and --tlskey'],
    ['ls -H unix:///a -H unix:///b', 'docker-publish: --host was given more than once'],
    ['run -p 80 --name a --name b 127.0.0.1', 'docker-publish: --name was given more than once'],
    [
      'ls --format xml',
      'docker-publish: invalid --format "xml": expected table, json, or a template',
    ],
    ['ls --format', 'docker-publish: the option --format needs a value'],
    // Before a daemon is looked for.
    ['ls --format {{.Nam}}', 'docker-publish: unknown field "Nam" in the template "{{.Nam}}"'],
    ['events --format {{.Name}}', 'docker-publish: unknown field "Name"'],
    ['inspect x --format {{range', 'docker-publish: invalid template "{{range"'],
    ['inspect x --format xml', 'docker-publish: invalid --format "xml": expected json, or'],
    ['ls -H fd://', 'docker-publish: the host "fd://" is for the daemon only'],
    [
      'daemon -H tcp://192.0.2.1:2385',
      'docker-publish: tcp://192.0.2.1:2385 would give every client in the network',
    ],
    ['run --log-level loud -p 80 127.0.0.1', 'docker-publish: invalid value: --log-level is'],
  ]
  const data = t.testdir()
  for (const [line, text] of cases) {
    const args = line.split(' ').filter((arg) => arg !== '')
    const own = args[0] === 'daemon' ? ['--data-root', data, '--exec-root', data] : []
    const { code, stdout, stderr } = await publish(t, [...args, ...own])
    t.ok(stderr.startsWith(text), `${line}: ${stderr}`)
    t.equal(code, 2, line)
    t.equal(stdout, '')
  }
})

t.test('an invalid setting of the proxies is reported once', async (t) => {
  const env = { DOCKER_PROXY_ENGINE: 'warp' }
  for (const command of [
    ['run', '-p', '80', '127.0.0.1'],
    ['daemon', '--data-root', t.testdir()],
  ]) {
    t.match(await publish(t, command, env), {
      code: 2,
      stdout: '',
      stderr: /^docker-publish: invalid setting "warp" for DOCKER_PROXY_ENGINE: use one of .*\n$/,
    })
  }
})

t.test('an unknown setting in the environment is refused', async (t) => {
  t.match(await publish(t, ['ls'], { DOCKER_PUBLISH_HOTS: 'unix:///nowhere' }), {
    code: 2,
    stdout: '',
    stderr:
      /^docker-publish: unknown setting DOCKER_PUBLISH_HOTS in the environment: expected DOCKER_PUBLISH_HOST, .*\n$/,
  })
})

t.test('certificates that are none', async (t) => {
  const folder = t.testdir({ text: 'hello' })
  const path = join(folder, 'text')
  const flags = ['--tlsverify', '--tlscacert', path, '--tlscert', path, '--tlskey', path]
  t.match(await publish(t, ['ls', '-H', 'tcp://127.0.0.1:1', ...flags]), {
    code: 2,
    stderr: `docker-publish: "${path}", named by --tlscacert, is not a PEM certificate\n`,
  })
})

t.test('help with examples, version and completion', async (t) => {
  for (const args of [['--help'], ['run', '--help'], ['daemon', '-h']]) {
    const { code, stdout } = await publish(t, args)
    t.equal(code, 0)
    t.match(stdout, /Examples:\n {2}docker-publish /)
  }
  t.equal((await publish(t, ['--version'])).stdout, (await publish(t, ['version'])).stdout)
  t.match(
    (await publish(t, ['version'])).stdout,
    /^docker-publish \(commit \S+\) version \d+\.\d+\.\d+\n$/,
  )
  t.match(JSON.parse((await publish(t, ['version', '--format', 'json'])).stdout), {
    version: /^\d/,
  })
  t.match((await publish(t, ['completion'])).stdout, /docker-publish.*completion/s)
  t.match((await publish(t, ['--get-yargs-completions', 'docker-publish', ''])).stdout, /^daemon/m)
})

t.test('no daemon: where it was looked for, and how to start it', async (t) => {
  for (const command of [['ls'], ['add', '-p', '80', '127.0.0.1'], ['rm', 'x'], ['events']]) {
    const { code, stderr } = await publish(t, [...command, '-H', 'unix:///nowhere/socket'])
    t.equal(
      stderr,
      'docker-publish: can\'t reach the daemon at unix:///nowhere/socket: no such file or directory; start it with "docker-publish daemon", or name another one with -H\n',
    )
    t.equal(code, 1)
  }
})

t.test('check: free, or the holder and free alternatives', async (t) => {
  const port = freeRow(3)
  const free = await publish(t, ['check', '-p', `${port}:80`, '-p', `127.0.0.1:${port + 1}:80/udp`])
  t.equal(
    free.stdout,
    `0.0.0.0:${port}/tcp is free\n[::]:${port}/tcp is free\n127.0.0.1:${port + 1}/udp is free\n`,
  )
  t.equal(free.code, 0)
  const json = await publish(t, ['check', '-p', `127.0.0.1:${port}:80`, '--format', 'json'])
  t.same(JSON.parse(json.stdout), [{ protocol: 'tcp', ip: '127.0.0.1', port }])

  const holder = createServer().listen(port, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const taken = await publish(t, ['check', '-p', `${port}:80`])
  const [first, held, freeLine] = taken.stderr.split('\n')
  t.equal(first, `failed to bind host port 0.0.0.0:${port}/tcp: address already in use`)
  t.match(
    held,
    new RegExp(
      `^ {2}held by {3}.*\\(pid ${process.pid}, user \\S+, since .*\\) on 127.0.0.1:${port}$`,
    ),
  )
  t.match(freeLine, /^ {2}free {6}the ports \d+, \d+, \d+/)
  t.equal(taken.code, 125)
  t.equal(taken.stdout, '')
})

t.test(
  'a host without IPv6 publishes on IPv4, silently',
  { skip: notRoot('for a namespace') },
  async (t) => {
    const name = `publish-cli-${process.pid}`
    const inNamespace = ['netns', 'exec', name]
    execaSync('ip', ['netns', 'add', name])
    t.teardown(() => execaSync('ip', ['netns', 'delete', name]))
    const disable = 'echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6'
    execaSync('ip', [...inNamespace, 'sh', '-c', disable])
    const check = run(t, [...inNamespace, PUBLISH, 'check', '-p', '8080:80'], {
      program: 'ip',
      status: 'ignore',
    })
    t.equal(await check.stdout, '0.0.0.0:8080/tcp is free\n')
    t.equal(await check.stderr, '')
    t.match(await check.exit, { code: 0 })
  },
)

t.test('with too few descriptors for Node, a program says so', async (t) => {
  for (const command of [
    [PUBLISH, 'ls'],
    [PROXYD, '--run-dir', '/nowhere'],
  ]) {
    const script = 'ulimit -n 16; exec "$@"'
    const running = run(t, ['-c', script, 'sh', ...command], { program: '/bin/sh' })
    t.match(
      await running.stderr,
      /^docker-\w+: too many open files: the limit is 16; raise it, .*\n$/,
    )
    t.match(await running.exit, { code: 1 })
  }
})

t.test(
  'a port that needs root: the setting that decides it is named',
  { skip: notRoot('to be another user') },
  async (t) => {
    // In a namespace of its own, where the setting has the kernel's default.
    const asNobody = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups']
    for (const [command, code] of [
      [[PUBLISH, 'check', '-p', '127.0.0.1:80:80'], 125],
      [[PROGRAM, ...proxyFlags({ ip: '127.0.0.1', port: 80 }, { port: 80 })], 1],
    ] as const) {
      const script = 'ip link set lo up; exec "$@"'
      const running = run(t, ['--net', 'sh', '-c', script, 'sh', ...asNobody, ...command], {
        program: 'unshare',
      })
      t.match(await running.stderr, 'net.ipv4.ip_unprivileged_port_start')
      t.match(await running.exit, { code })
    }
  },
)

t.test('a result that can not be printed is a failure', async (t) => {
  for (const args of [['version'], ['ls', '--help'], ['--version'], ['completion']]) {
    const running = run(t, args, {
      program: PUBLISH,
      status: 'ignore',
      stdout: openSync('/dev/full', 'w'),
    })
    t.equal(
      await running.stderr,
      "docker-publish: can't write to stdout: no space left on device\n",
      args.join(' '),
    )
    t.match(await running.exit, { code: 1 })
  }
})

/** The proxies that serve this backend port. */
const proxiesFor = (port: number): number[] =>
  processIds().filter((pid) => processCommand(pid)?.join(' ').includes(`-container-port ${port}`))

t.test('run: published until the signal, then nothing is left', async (t) => {
  const folder = t.testdir()
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGKILL'] as const) {
    const echo = await startEcho(t)
    const port = freeRow(1)
    const args = ['run', '-p', `${port}:${echo.port}`, '--name', 'web_svr01', '127.0.0.1']
    const env = { TMPDIR: folder }
    const running = run(t, args, { program: PUBLISH, status: 'ignore', env })
    const [line] = (await once(running.child.stdout as NodeJS.ReadableStream, 'data')) as [Buffer]
    t.equal(
      line.toString(),
      `web_svr01: 0.0.0.0:${port}->${echo.port}/tcp, [::]:${port}->${echo.port}/tcp\n`,
    )
    t.equal(await exchange(t, port, 'hello'), 'hello')
    t.equal(await exchange(t, port, 'hello', '::1'), 'hello')
    running.child.kill(signal)
    t.match(await running.exit, signal === 'SIGKILL' ? { signal } : { code: 0 })
    // After SIGKILL, the watchdog cleans up.
    await until(() => proxiesFor(echo.port).length === 0)
    await assertReleased(t, port)
  }
  await until(() => readdirSync(folder).length === 0)
})

t.test('run: stopped before the proxy is ready, it does not wait for it', async (t) => {
  const folder = t.testdir()
  const slow = join(folder, 'docker-proxy')
  const fifo = join(folder, 'never')
  execaSync('mkfifo', [fifo])
  const script = `#!/bin/sh\ncase "$*" in -help) ;; *) read -r _ <${fifo} ;; esac\nexec ${PROGRAM} "$@"\n`
  writeFileSync(slow, script, { mode: 0o755 })
  const temporary = join(folder, 'tmp')
  mkdirSync(temporary)
  const args = ['run', '--proxy-path', slow, '-p', '127.0.0.1::80', '127.0.0.9']
  const env = { TMPDIR: temporary }
  const running = run(t, args, { program: PUBLISH, status: 'ignore', env })
  const files = (): string[] => readdirSync(temporary, { recursive: true }).map(String)
  await until(() => files().some((name) => name.endsWith('.pid')))
  running.child.kill('SIGINT')
  t.match(await running.exit, { code: 1 })
  t.equal(await running.stderr, 'docker-publish: stopped by SIGINT\n')
  await until(() => files().length === 0)
  t.same(
    processIds().filter((pid) => processCommand(pid)?.includes(slow)),
    [],
  )
})

t.test('run: a conflict leaves nothing behind', async (t) => {
  const port = freeRow(1)
  const holder = createServer().listen(port, '127.0.0.1')
  await once(holder, 'listening')
  t.teardown(() => holder.close())
  const { code, stderr } = await publish(t, ['run', '-p', '81', '-p', `${port}:80`, '127.0.0.1'])
  t.equal(code, 125)
  t.match(stderr, `failed to bind host port 0.0.0.0:${port}/tcp: address already in use\n  held by`)
})

t.test('run: a proxy that can not be used', async (t) => {
  const cases: [string, string][] = [
    ['/nowhere/docker-proxy', 'no such file or directory'],
    ['/bin/true', 'it does not answer -help as a docker-proxy does'],
    ['/etc/passwd', 'permission denied'],
  ]
  for (const [path, reason] of cases) {
    const { code, stderr } = await publish(t, [
      'run',
      '--proxy-path',
      path,
      '-p',
      '80',
      '127.0.0.1',
    ])
    t.equal(
      stderr,
      `docker-publish: can't use "${path}" as docker-proxy: ${reason}; name another one with --proxy-path\n`,
    )
    t.equal(code, 1)
  }
})
