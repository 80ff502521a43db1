import { once } from 'node:events'
import { appendFileSync, closeSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import koffi from 'koffi'
import t, { type Test } from 'tap'
import { listDockerPorts } from '../../../src/controller/docker-ports.js'
import { deferred } from '../../../src/deferred.js'
import { sendRequest } from '../../../src/status/status-socket.js'
import { ask, bindUdp, startUdpEcho } from '../../lib/datagrams.js'
import { Load } from '../../lib/load.js'
import {
  endAll,
  manyPorts,
  publish,
  publishMany,
  untilFree,
  type Published,
} from '../../lib/many-ports.js'
import { openDescriptors } from '../../lib/proc.js'
import { PROGRAM, proxyFlags, run, stop } from '../../lib/program.js'
import { runFolder, startProxyd, type RunningProxyd } from '../../lib/proxyd.js'
import { ownProcess } from '../../lib/target.js'
import { assertReleased } from '../../lib/released.js'
import {
  dial,
  exchange,
  listeningDescriptor,
  readAll,
  startEcho,
  type Backend,
} from '../../lib/sockets.js'
import { until } from '../../lib/until.js'

/*
 * Faults of a docker-proxyd, each with 200 ports that clients use at the same time.
 */

const SHUT_RD = 0
const shutdown = koffi.load(null).func('int shutdown(int fd, int how)') as (
  fd: number,
  how: number,
) => number

const TIMES = 3

interface Busy {
  readonly echo: Backend
  readonly proxyd: RunningProxyd
  readonly ports: Published[]
  readonly load: Load
}

/** A docker-proxyd with 200 busy ports. */
async function startBusy(t: Test): Promise<Busy> {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const ports = await publishMany(t, proxyd.folder, echo)
  const load = Load.start(t, ports)
  await load.goOn()
  return { echo, proxyd, ports, load }
}

/** Checks that no client has lost anything, and that each port answers. */
async function isUnharmed(t: Test, load: Load, ports: readonly Published[]): Promise<void> {
  await load.goOn()
  await load.stop()
  t.match(load, { refused: 0, cut: 0 })
  for (const { ip, port } of ports) t.equal(await exchange(t, port, 'x', ip), 'x')
}

t.test('killed at random: all ports are bound again, and go on', async (t) => {
  const { ports, load, ...first } = await startBusy(t)
  let { proxyd } = first
  for (let times = 0; times < TIMES; times++) {
    proxyd.child.kill('SIGKILL')
    await proxyd.exit
    proxyd = await startProxyd(t, { folder: proxyd.folder })
    for (const { ip, port } of ports) t.equal(await exchange(t, port, 'there', ip), 'there')
    await load.goOn()
  }
  await load.stop()
  await endAll(t, proxyd, ports)
})

t.test('killed at random, with sockets of dockerd: not one connection is refused', async (t) => {
  const echo = await startEcho(t)
  let proxyd = await startProxyd(t)
  const ports = await Promise.all(
    manyPorts().map(async ({ ip }) => {
      const { fd, port } = await listeningDescriptor(t, { host: ip })
      const flags = [...proxyFlags(echo, { port: 1 }), '-use-listen-fd']
      const launcher = await proxyd.publish(echo, { flags, listenFd: fd })
      closeSync(fd)
      return { ...launcher, ip, port }
    }),
  )
  const load = Load.start(t, ports)
  for (let times = 0; times < TIMES; times++) {
    await load.goOn()
    proxyd.child.kill('SIGKILL')
    await proxyd.exit
    // All of them while no docker-proxyd runs.
    const waiting = await Promise.all(ports.map(({ ip, port }) => dial(t, port, ip)))
    proxyd = await startProxyd(t, { folder: proxyd.folder })
    const answers = waiting.map(async (client) => {
      client.end('waited')
      return readAll(client)
    })
    t.ok((await Promise.all(answers)).every((answer) => answer === 'waited'))
  }
  await load.goOn()
  await load.stop()
  t.equal(load.refused, 0)
  await endAll(t, proxyd, ports)
})

t.test('replaced by a newer one again and again: no connection is refused or cut', async (t) => {
  const { echo, ports, load, ...first } = await startBusy(t)
  let { proxyd } = first
  for (let times = 0; times < TIMES; times++) {
    const { ip = '', port = 0 } = ports[times] ?? {}
    const held = await dial(t, port, ip)
    const next = await startProxyd(t, { folder: proxyd.folder, args: ['--replace'] })
    await until(() => next.lines.some(({ msg }) => msg === 'Took over from another docker-proxyd'))
    await until(() => proxyd.lines.some(({ msg }) => String(msg).startsWith('Replaced')))
    await load.goOn()
    // An open connection is still served; the old docker-proxyd waits for it.
    t.equal(proxyd.child.exitCode, null)
    held.end('still there')
    t.equal(await readAll(held), 'still there')
    t.match(await proxyd.exit, { code: 0 })
    proxyd = next
  }
  await isUnharmed(t, load, ports)
  const more = await proxyd.publish(echo)
  t.equal(await exchange(t, more.port, 'a new port'), 'a new port')
  t.match(await stop(more), { code: 0 })
  await endAll(t, proxyd, ports)
})

t.test(
  'started after dockerd: ports that are served go on, the next are handed over',
  async (t) => {
    const echo = await startEcho(t)
    const folder = runFolder(t)
    const ports = await publishMany(t, folder, echo)
    const load = Load.start(t, ports)
    await load.goOn()
    const proxyd = await startProxyd(t, { folder })
    const isProgram = (pid: number): boolean =>
      !readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith('/bin/sh')
    t.ok(ports.every(({ pid }) => isProgram(pid)))
    const more = await Promise.all(
      ports.map(async () => ({ ip: '127.0.0.1', ...(await proxyd.publish(echo)) })),
    )
    t.notOk(more.some(({ pid }) => isProgram(pid)))
    const both = Load.start(t, [...ports, ...more])
    await isUnharmed(t, both, more)
    await isUnharmed(t, load, ports)
    await endAll(t, proxyd, [...ports, ...more])
  },
)

t.test('stopped while ports are published: the launchers wait for the next', async (t) => {
  const { ports, load, proxyd } = await startBusy(t)
  t.match(await stop(proxyd), { code: 0 })
  for (const { child } of ports) t.equal(child.exitCode, null)
  await Promise.all(ports.map((port) => untilFree(t, port)))
  // Some ports are withdrawn in the meantime.
  const withdrawn = ports.splice(0, ports.length / 4)
  for (const launcher of withdrawn) t.match(await stop(launcher), { code: 0 })
  const next = await startProxyd(t, { folder: proxyd.folder })
  await load.goOn()
  await load.stop()
  for (const { ip, port } of ports) t.equal(await exchange(t, port, 'x', ip), 'x')
  for (const { ip, port } of withdrawn) {
    await assertReleased(t, port, ip)
  }
  await endAll(t, next, ports)
})

t.test('launchers killed with SIGKILL: their ports are free, the others go on', async (t) => {
  const { echo, ports, load, proxyd } = await startBusy(t)
  await load.stop()
  const killed = ports.filter((_, i) => i % 2 === 0)
  const others = ports.filter((_, i) => i % 2 === 1)
  const loadOfKilled = Load.start(t, killed)
  const loadOfOthers = Load.start(t, others)
  await loadOfKilled.goOn()
  await loadOfOthers.goOn()
  for (const { child } of killed) child.kill('SIGKILL')
  await Promise.all(killed.map((port) => untilFree(t, port)))
  await isUnharmed(t, loadOfOthers, others)
  await loadOfKilled.stop()
  const again = await Promise.all(killed.map((port) => publish(t, proxyd.folder, echo, port)))
  await isUnharmed(t, Load.start(t, again), again)
  await endAll(t, proxyd, [...others, ...again])
})

t.test('dockerd is killed: the kernel signals its launchers', async (t) => {
  const echo = await startEcho(t)
  const proxyd = await startProxyd(t)
  const ports = manyPorts()
  // dockerd requests a signal for the time of its end, see PR_SET_PDEATHSIG in prctl(2).
  const commands = ports.map((port) => {
    const flags = proxyFlags(echo, port).join(' ')
    // A shell starts background commands with SIGINT ignored; dockerd does not.
    return `env --default-signal=INT setpriv --pdeathsig TERM ${PROGRAM} ${flags} 3>/dev/null &`
  })
  const parent = run(t, ['-c', `${commands.join('\n')}\nwait`], {
    program: '/bin/sh',
    env: { DOCKER_PROXY_RUN_DIR: proxyd.folder },
  })
  const reported = (text: string): number =>
    proxyd.lines.filter(({ msg }) => String(msg).startsWith(text)).length
  await until(() => reported('Proxy listening') === ports.length)
  const load = Load.start(t, ports)
  await load.goOn()
  parent.child.kill('SIGKILL')
  await until(() => reported('Proxy stopped') === ports.length)
  await load.stop()
  for (const { ip, port } of ports) await assertReleased(t, port, ip)
  await endAll(t, proxyd, [])
})

t.test(
  'invalid requests, and requests for other processes, are refused and change nothing',
  async (t) => {
    const { echo, ports, load, proxyd } = await startBusy(t)
    const foreign = await ownProcess.startProxy(t, echo)
    const statusPath = join(proxyd.folder, 'socket')
    const served = async (): Promise<unknown[]> => {
      const { value, connection } = await sendRequest(statusPath, 'ports')
      connection.destroy()
      return (value as { pid: number; hostPort: number }[]).map(({ pid, hostPort }) => [
        pid,
        hostPort,
      ])
    }
    const before = await served()
    t.equal(before.length, ports.length)
    const garbage = [
      'rubbish',
      'start',
      'start -1',
      `stop ${foreign.pid}`,
      `start ${foreign.pid}`,
      'start 1',
      `start ${process.pid}`,
      `stop ${process.pid}`,
      'x'.repeat(2_000),
    ]
    for (const line of garbage) appendFileSync(join(proxyd.folder, 'control'), `${line}\n`)
    const refusals = (): unknown[] =>
      proxyd.lines.filter(({ msg }) => String(msg).startsWith('Refused a request'))
    await until(() => refusals().length >= garbage.length)
    t.strictSame(await served(), before)
    await isUnharmed(t, load, ports)
    t.equal(await exchange(t, foreign.port, 'still'), 'still')
    t.match(await stop(foreign), { code: 0 })
    await endAll(t, proxyd, ports)
  },
)

t.test('a fault of one port ends that one alone', async (t) => {
  const { echo, ports, load, proxyd } = await startBusy(t)
  const { fd } = await listeningDescriptor(t, { host: '127.0.0.1' })
  const flags = [...proxyFlags(echo, { port: 1 }), '-use-listen-fd']
  const broken = await proxyd.publish(echo, { flags, listenFd: fd })
  t.equal(shutdown(fd, SHUT_RD), 0)
  closeSync(fd)
  t.match(await broken.exit, { code: 1 })
  await isUnharmed(t, load, ports)
  await endAll(t, proxyd, ports)
})

for (const engine of ['native', 'streams'] as const) {
  t.test(
    `a flood of UDP clients leaves room for TCP and for other UDP ports, ${engine}`,
    async (t) => {
      const FLOOD = 600
      const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_WORKERS: '1' }
      const proxyd = await startProxyd(t, { descriptors: 256, env })
      const [echo, udpEcho] = [await startEcho(t), await startUdpEcho(t)]
      const tcp = await proxyd.publish(echo)
      const udpFlags = [...proxyFlags(udpEcho), '-proto', 'udp']
      const flooded = await proxyd.publish(udpEcho, { flags: udpFlags })
      const other = await proxyd.publish(udpEcho, { flags: udpFlags })
      const client = await bindUdp(t)
      t.equal(String(await ask(client, other.port, 'before')), 'before')
      // They stay open, so that no client has the port of an earlier one.
      for (let i = 0; i < FLOOD; i++) {
        const { socket } = await bindUdp(t)
        const answered = once(socket, 'message')
        socket.send('flood', flooded.port, '127.0.0.1')
        await answered
      }
      const [status] = (await listDockerPorts(proxyd.folder, undefined)).filter(
        ({ pid }) => pid === flooded.pid,
      )
      t.equal(status?.accepted, FLOOD)
      t.ok((status?.connections ?? 0) < FLOOD / 2, 'idle flows have ended')
      const clients = await Promise.all(Array.from({ length: 20 }, () => dial(t, tcp.port)))
      for (const each of clients) {
        each.end('tcp')
        t.equal(await readAll(each), 'tcp')
      }
      t.equal(String(await ask(client, other.port, 'after')), 'after')
      for (const { child, exit } of [tcp, flooded, other]) {
        child.kill('SIGTERM')
        t.match(await exit, { code: 0 })
      }
    },
  )

  t.test(`out of descriptors: clients of all ports wait for their turn, ${engine}`, async (t) => {
    const CLIENTS_OF_A_PORT = 3
    const LIMIT = 712
    const echo = await startEcho(t)
    const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_WORKERS: '1' }
    // Three descriptors for each port, and room for some connections.
    const proxyd = await startProxyd(t, { descriptors: LIMIT, env })
    const ports = await publishMany(t, proxyd.folder, echo)
    const isShort = (): boolean =>
      proxyd.lines.some(({ msg }) => String(msg).startsWith('Out of file descriptors'))
    const { promise: mayEnd, resolve: letEnd } = deferred()
    const clients = Array.from({ length: CLIENTS_OF_A_PORT }, () => ports).flat()
    const answers = clients.map(async ({ ip, port }, i) => {
      const client = await dial(t, port, ip)
      client.write(`client ${i}`)
      // Clients that were served first stay, until there is no room for others.
      await mayEnd
      client.end()
      return (await readAll(client)) === `client ${i}`
    })
    await until(isShort)
    const { status } = run(t, proxyFlags(echo), { env: { DOCKER_PROXY_RUN_DIR: proxyd.folder } })
    t.match(await status, /^1\n.*: too many open files$/, 'a new port is refused')
    letEnd()
    t.ok((await Promise.all(answers)).every(Boolean))
    t.ok(openDescriptors(proxyd.pid) < LIMIT)
    t.notOk(proxyd.lines.some(({ msg }) => String(msg).startsWith("Can't forward")))
    await isUnharmed(t, Load.start(t, ports), ports)
    await endAll(t, proxyd, ports)
  })
}
