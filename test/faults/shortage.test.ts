import { chmodSync, existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { notRoot } from '../lib/program.js'
import { startDaemon } from '../lib/publish.js'
import { ROUNDS, withoutFaults } from '../lib/fault-rounds.js'
import { mountSmallDisk } from '../lib/small-disk.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { assertNoLoss, startTraffic } from '../lib/traffic.js'
import { until } from '../lib/until.js'

/* Disk space, descriptors, memory and permissions that are missing, while clients compare every byte. */

t.test(
  'ENOSPC: changes are refused, and traffic goes on',
  { skip: withoutFaults || notRoot('to mount') },
  async (t) => {
    // The log has a disk of its own, which its lines fill soon.
    const [disk, logDisk] = [mountSmallDisk(t), mountSmallDisk(t)]
    const log = join(logDisk.folder, 'log')
    const echo = await startEcho(t)
    const daemon = await startDaemon(t, {
      dataRoot: join(disk.folder, 'data'),
      // The log of the daemon and its proxies is on a full disk, too.
      through: ['sh', '-c', `exec "$@" 2>>${log}`, 'sh'],
    })
    const ports = [`127.0.0.1::${echo.port}`]
    const request = { backend: echo.ip, ports, options: { 'access-log': 'on' } }
    const view = await daemon.client.add({ ...request, name: 'web' })
    const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0)
    for (let i = 0; i < ROUNDS; i++) {
      disk.fill()
      const refused = { code: 'state-not-saved', message: /no space left on device/ }
      await t.rejects(daemon.client.add({ ...request, name: 'other' }), refused)
      await t.rejects(
        daemon.client.set('web', { 'max-connections': '1' }),
        /no space left on device/,
      )
      await t.rejects(daemon.client.upgrade('web', Infinity), /no space left on device/)
      await t.rejects(daemon.client.remove('web'), refused)
      await traffic.more(50)
      disk.free()
      await daemon.client.upgrade('web', Infinity)
      await daemon.client.add({ ...request, name: 'other' })
      await daemon.client.remove('other')
      await traffic.more(50)
    }
    await traffic.stop()
    assertNoLoss(t, `the disk was full ${ROUNDS} times, 4 changes each`, traffic)
  },
)

t.test('EMFILE: clients wait for a descriptor', { skip: withoutFaults }, async (t) => {
  for (const engine of ['native', 'streams']) {
    const echo = await startEcho(t)
    const daemon = await startDaemon(t, { descriptors: 64, env: { DOCKER_PROXY_ENGINE: engine } })
    const ports = [`127.0.0.1::${echo.port}`]
    const view = await daemon.client.add({ name: 'web', backend: echo.ip, ports })
    // Held connections would keep the others from ever being served.
    const clients = { clients: 100, held: 0 }
    const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0, clients)
    await traffic.more(500 * ROUNDS)
    await traffic.stop()
    assertNoLoss(t, `${engine}: 100 clients at once, 64 descriptors`, traffic)
    await daemon.end('SIGTERM')
    t.match(await daemon.running.stderr, 'Out of file descriptors: new connections wait')
  }
})

/** Memory that is left, bytes. */
const ROOM = 1024 * 1024
/** Where the kernel has the memory controller: version 1 or 2. */
const [CGROUP, LIMIT, USAGE] = existsSync('/sys/fs/cgroup/memory/memory.limit_in_bytes')
  ? (['/sys/fs/cgroup/memory', 'memory.limit_in_bytes', 'memory.usage_in_bytes'] as const)
  : (['/sys/fs/cgroup', 'memory.max', 'memory.current'] as const)
const hasMemoryLimits =
  existsSync(join(CGROUP, LIMIT)) || existsSync(join(CGROUP, 'cgroup.subtree_control'))

t.test(
  'ENOMEM: what the kernel kills comes back',
  {
    skip:
      withoutFaults || notRoot('to limit memory') || (!hasMemoryLimits && 'no memory controller'),
  },
  async (t) => {
    const group = join(CGROUP, `docker-proxy-test-${process.pid}`)
    mkdirSync(group)
    t.teardown(() =>
      until(() => {
        try {
          rmdirSync(group)
          return true
        } catch {
          return false // A process has not quite ended.
        }
      }),
    )
    const limit = (bytes: number | 'none'): void => {
      const none = LIMIT === 'memory.max' ? 'max' : '-1'
      writeFileSync(join(group, LIMIT), bytes === 'none' ? none : String(bytes))
    }
    const kills = (): number => {
      const file = LIMIT === 'memory.max' ? 'memory.events' : 'memory.oom_control'
      return Number(/^oom_kill (\d+)$/m.exec(readFileSync(join(group, file), 'utf8'))?.[1])
    }
    const echo = await startEcho(t)
    const enter = ['sh', '-c', `echo $$ >${group}/cgroup.procs; exec "$@"`, 'sh']
    const env = { DOCKER_PROXY_ENGINE: 'streams' }
    let daemon = await startDaemon(t, { env, through: enter }, '--live-restore')
    const ports = [`127.0.0.1::${echo.port}`]
    const view = await daemon.client.add({ name: 'web', backend: echo.ip, ports })
    const port = view.ports[0]?.hostPort ?? 0
    let killed = 0
    for (let i = 0; i < ROUNDS; i++) {
      const before = kills()
      const used = Number(readFileSync(join(group, USAGE), 'utf8'))
      limit(used + ROOM)
      const traffic = startTraffic(t, port, { clients: 20, held: 200 })
      await until(() => kills() > before)
      limit('none')
      killed += kills() - before
      const isDead = await daemon.client.version().then(
        () => false,
        () => true,
      )
      if (isDead) {
        await daemon.running.exit
        daemon = await daemon.again()
      }
      await until(async () => (await daemon.client.get('web')).ports[0]?.state === 'up')
      t.equal(await exchange(t, port, 'still here'), 'still here')
      await traffic.stop()
      const { connections, bytes, cut, refused, wrong } = traffic.figures
      // The daemon and the proxy may both be killed, and then nobody has the port.
      t.comment(
        `${connections} connections, ${bytes} bytes compared, ${cut} cut, ${refused} refused`,
      )
      t.equal(wrong, 0)
    }
    t.comment(`the kernel has killed ${killed} processes`)
  },
)

t.test(
  'EPERM: folders without permission',
  { skip: withoutFaults || notRoot('to become another user') },
  async (t) => {
    const echo = await startEcho(t)
    const asNobody = 'setpriv --reuid=65534 --regid=65534 --clear-groups --'
    // The arguments of the daemon have its folders.
    const own =
      'for each; do case $each in unix://*) chown 65534:65534 "$(dirname "${each#unix://}")"; esac; done'
    const daemon = await startDaemon(t, {
      through: ['sh', '-c', `${own}; exec ${asNobody} "$@"`, 'sh'],
    })
    const folders = ['exec', 'data'].map((name) => join(daemon.folder, name))
    const ports = [`127.0.0.1::${echo.port}`]
    const request = { backend: echo.ip, ports }
    const view = await daemon.client.add({ ...request, name: 'web' })
    const traffic = startTraffic(t, view.ports[0]?.hostPort ?? 0)
    for (let i = 0; i < ROUNDS; i++) {
      for (const folder of folders) chmodSync(folder, 0)
      await t.rejects(daemon.client.add({ ...request, name: 'other' }), /permission denied|EACCES/)
      await t.rejects(
        daemon.client.set('web', { 'max-connections': '9' }),
        /permission denied|EACCES/,
      )
      await t.rejects(daemon.client.remove('web'), /permission denied|EACCES/)
      const low = { backend: echo.ip, ports: [`127.0.0.1:1:${echo.port}`] }
      await t.rejects(daemon.client.add(low), /permission denied|port-forbidden/)
      await traffic.more(50)
      for (const folder of folders) chmodSync(folder, 0o700)
      await daemon.client.set('web', { 'max-connections': '90' })
      await daemon.client.add({ ...request, name: 'other' })
      await daemon.client.remove('other')
      await traffic.more(50)
    }
    await traffic.stop()
    assertNoLoss(t, `without permission ${ROUNDS} times, 4 changes each`, traffic)
  },
)
