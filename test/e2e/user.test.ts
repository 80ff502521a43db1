import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { identify } from '../../src/linux/proc/process-identity.js'
import { formatBackendList } from '../../src/status/backend-list.js'
import { orderBackends } from '../../src/status/proxy-orders.js'
import { childrenOf, kill, listeningPort } from '../lib/proc.js'
import { startNamespace } from '../lib/namespace.js'
import { notRoot, PROGRAM, proxyFlags, READY, run } from '../lib/program.js'
import { startDaemon } from '../lib/publish.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { until } from '../lib/until.js'

/* DOCKER_PROXY_USER: a docker-proxy becomes another user once its port is bound. */

const skip = notRoot('to become another user')
/** A user and group without an account here. */
const [UID, GID] = [54_321, 54_322] as const
const USER = `${UID}:${GID}`

/** Figures of each thread of a process, see proc(5). */
function rightsOf(pid: number): string[] {
  const threads = readdirSync(`/proc/${pid}/task`)
  const rights = threads.map((thread) => {
    const status = readFileSync(`/proc/${pid}/task/${thread}/status`, 'utf8')
    const figure = (name: string): string =>
      new RegExp(`^${name}:\\t(.*)$`, 'm').exec(status)?.[1]?.trim() ?? ''
    // Only the first thread starts programs.
    const more = thread === String(pid) ? figure('NoNewPrivs') : '1'
    return [...['Uid', 'Gid', 'Groups', 'CapPrm', 'CapEff'].map(figure), more].join(' ')
  })
  return [...new Set(rights)]
}

const four = (id: number): string => Array.from({ length: 4 }, () => id).join('\t')
const none = '0'.repeat(16)
const WITHOUT_RIGHTS = `${four(UID)} ${four(GID)}  ${none} ${none} 1`

async function startAsUser(t: Test, env: NodeJS.ProcessEnv) {
  const host = await startNamespace(t)
  const script = `require('node:net').createServer((s) => s.pipe(s)).listen(8080, '127.0.0.1')`
  host.node(script).catch(() => undefined)
  await host.untilListening(8080)
  // A port that only root can bind.
  const proxy = await host.startProxy({ ip: '127.0.0.1', port: 8080 }, { port: 80 }, { env })
  const ask = (): Promise<string> =>
    host.node(`const s = require('node:net').connect(80, '127.0.0.1')
      s.end('through').on('data', (text) => console.log(String(text)))
      s.on('error', ({ code }) => console.log(code))`)
  return { host, proxy, ask }
}

for (const engine of ['native', 'streams']) {
  t.test(`engine ${engine}`, { skip }, async (t) => {
    const settings = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_USER: USER }

    t.test('the process has no rights of root, and serves a port of root', async (t) => {
      const { proxy, ask } = await startAsUser(t, settings)
      t.strictSame(rightsOf(proxy.pid), [WITHOUT_RIGHTS])
      t.equal(readFileSync(`/proc/${proxy.pid}/comm`, 'utf8'), 'docker-proxy\n')
      t.equal(await ask(), 'through')
      t.strictSame(rightsOf(proxy.pid), [WITHOUT_RIGHTS], 'also threads that came later')
      kill(proxy.pid)
    })

    t.test('it still ends with dockerd', async (t) => {
      const echo = await startEcho(t)
      // dockerd requests a signal for the time of its end, see PR_SET_PDEATHSIG in prctl(2).
      const flags = proxyFlags({ ip: '127.0.0.1', port: echo.port }, { port: 0 }).join(' ')
      const script = `setpriv --pdeathsig TERM "$0" ${flags} & exec 3>&-; wait`
      const parent = run(t, ['-c', script, PROGRAM], {
        program: 'sh',
        env: { ...settings, DOCKER_PROXY_ISOLATION: 'process' },
      })
      t.equal((await parent.status).slice(0, 2), READY)
      const [pid = 0] = childrenOf(parent.pid)
      t.strictSame(rightsOf(pid), [WITHOUT_RIGHTS])
      parent.child.kill('SIGKILL')
      await until(() => !existsSync(`/proc/${pid}`))
      t.pass()
    })

    t.test('it keeps its options if its user can not read the settings file again', async (t) => {
      const config = join(t.testdir({}), 'settings.json')
      writeFileSync(config, '{ "max-connections": 7 }')
      const { proxy, ask } = await startAsUser(t, { ...settings, DOCKER_PROXY_CONFIG: config })
      chmodSync(config, 0o600)
      proxy.child.kill('SIGUSR2')
      t.equal(await ask(), 'through')
      kill(proxy.pid)
      t.match(await proxy.stderr, /The port keeps its options: can't read the settings file/)
    })

    t.test('a container whose process it can not see is not taken for ended', async (t) => {
      const echo = await startEcho(t)
      const process = identify(globalThis.process.pid)
      const list = { backends: [{ ip: echo.ip, ...(process && { process }) }], holdMs: 0 }
      const socket = join(t.testdir({}), 'socket')
      const env = {
        ...settings,
        DOCKER_PROXY_BACKENDS: formatBackendList(list),
        DOCKER_PROXY_STATUS_SOCKET: socket,
      }
      const hide = 'mount -t proc -o hidepid=2 proc /proc; exec "$@"'
      const command = ['--mount', 'sh', '-ec', hide, 'sh', PROGRAM, ...proxyFlags(echo)]
      const proxy = run(t, command, { program: 'unshare', env })
      t.equal(await proxy.status, READY)
      const port = listeningPort(proxy.pid)
      t.equal(await exchange(t, port, 'x'), 'x')
      await orderBackends(socket, list)
      t.equal(await exchange(t, port, 'y'), 'y')
      kill(proxy.pid)
    })

    for (const isolation of ['process', 'shared']) {
      t.test(`docker-publish, isolation ${isolation}`, async (t) => {
        const daemon = await startDaemon(t, { env: settings }, '--live-restore')
        const echo = await startEcho(t)
        const spec = `127.0.0.1::${echo.port}`
        const added = await daemon.cli('add', '-p', spec, '--isolation', isolation, '127.0.0.1')
        t.match(added, { code: 0, stderr: '' })
        const view = async () => (await daemon.client.list())[0]?.ports[0]
        const { pid = 0, hostPort = 0 } = (await view()) ?? {}
        t.strictSame(rightsOf(pid), [WITHOUT_RIGHTS])
        t.equal(await exchange(t, hostPort, 'x'), 'x')
        kill(pid)
        await until(async () => ![undefined, pid].includes((await view())?.pid))
        t.strictSame(rightsOf((await view())?.pid ?? 0), [WITHOUT_RIGHTS], 'its successor as well')
        t.equal(await exchange(t, hostPort, 'y'), 'y')
        await daemon.end('SIGKILL')
        const next = await daemon.again()
        await until(async () => (await next.client.list())[0]?.ports[0]?.state === 'up')
        t.equal(await exchange(t, hostPort, 'z'), 'z', 'the next daemon adopts it')
        t.match(await next.cli('rm', '--all'), { code: 0, stderr: '' })
      })
    }
  })
}

t.test('a user that can not be', async (t) => {
  const flags = proxyFlags({ ip: '127.0.0.1', port: 1 }, { port: 0 })
  const refusal = async (env: NodeJS.ProcessEnv, uid?: number) => {
    const running = run(t, flags, { env, ...(uid === undefined ? {} : { uid }) })
    const [{ code }, stderr] = await Promise.all([running.exit, running.stderr])
    return `${String(code)} ${stderr.trim()}`
  }
  for (const given of ['no such user', 'root:no-such-group', ':', '4294967295', 'a:b:c']) {
    t.equal(
      await refusal({ DOCKER_PROXY_USER: given }),
      `2 invalid setting "${given}" for DOCKER_PROXY_USER: use USER or USER:GROUP, names or numbers of this host`,
    )
  }
  const shared = { DOCKER_PROXY_USER: USER, DOCKER_PROXY_ISOLATION: 'shared' }
  const reason =
    "2 docker-proxyd can't become another user, because it reads sockets of its launchers: unset DOCKER_PROXY_USER"
  if (process.geteuid?.() !== 0) return
  t.equal(await refusal(shared), reason)
  t.equal(
    await refusal({ DOCKER_PROXY_USER: 'root' }, UID),
    '2 DOCKER_PROXY_USER is "root", and only root can become another user: unset it, or start this as root',
  )
})
