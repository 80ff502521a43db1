import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { processSockets } from '../../src/linux/proc/process.js'
import { STATE } from '../../src/linux/proc/socket-table.js'
import { readSockets } from '../../src/linux/sockets/socket-diagnostics.js'
import { freeRow } from '../lib/free-row.js'
import { PROGRAM, run, type Running } from '../lib/program.js'
import { PUBLISH, startDaemon } from '../lib/publish.js'
import { PROXYD, startProxyd } from '../lib/proxyd.js'
import { exchange, startEcho } from '../lib/sockets.js'
import { ownProcess } from '../lib/target.js'
import { until } from '../lib/until.js'

/* No program opens Node's debugger: whoever reaches its port runs code with the rights of the program. */

/** NODE_OPTIONS of another program, which would open the debugger of each program of Node on a free port. */
const env = { NODE_OPTIONS: '--inspect=127.0.0.1:0' }

/** The TCP ports on which a process listens. */
function listeningPorts(pid: number): number[] {
  const inodes = new Set(processSockets(pid).values())
  return readSockets('tcp')
    .filter(({ state, inode }) => state === STATE.listen && inodes.has(inode))
    .map(({ local }) => local.port)
}

/** Signals a program from the moment when Node has its own handler, until it is ready. */
async function signalUntil(running: Running, isReady: () => boolean): Promise<void> {
  const SIGUSR1 = 1n << 9n
  const handlesSignal = (): boolean => {
    const mask = /^SigCgt:\t(\w+)$/m.exec(readFileSync(`/proc/${running.pid}/status`, 'utf8'))?.[1]
    return (BigInt(`0x${mask ?? '0'}`) & SIGUSR1) !== 0n
  }
  await until(() => {
    if (handlesSignal()) process.kill(running.pid, 'SIGUSR1')
    return isReady()
  })
}

t.test('a program that is starting', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'debugger-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const socket = join(folder, 'socket')
  for (const [program, args, file] of [
    [PROGRAM, ['-host-ip', '127.0.0.1', '-host-port', '0'], undefined],
    [PROXYD, ['--run-dir', join(folder, 'run')], join(folder, 'run/socket')],
    [
      PUBLISH,
      ['daemon', '-H', `unix://${socket}`, '--data-root', folder, '--exec-root', folder],
      socket,
    ],
  ] as const) {
    // A busy machine may miss the time between Node's handler and our own.
    let wasInTime = false
    for (let tries = 0; tries < 20 && !wasInTime; tries++) {
      rmSync(folder, { recursive: true, force: true })
      mkdirSync(folder, { mode: 0o700 })
      const running = run(t, args, { program, env })
      let isReady = false
      void running.status.then(() => (isReady = file === undefined))
      await signalUntil(running, () => isReady || (file !== undefined && existsSync(file)))
      t.ok(listeningPorts(running.pid).length <= 1, 'no debugger listens')
      running.child.kill('SIGTERM')
      t.match(await running.exit, { code: 0 })
      wasInTime = /Starting inspector on .* failed: address not available/.test(
        await running.stderr,
      )
    }
    t.ok(wasInTime, program)
  }
})

t.test('docker-proxy', async (t) => {
  const running = await ownProcess.startProxy(t, await startEcho(t), { env })
  process.kill(running.pid, 'SIGUSR1')
  t.equal(await exchange(t, running.port, 'alive'), 'alive')
  t.strictSame(listeningPorts(running.pid), [running.port])
})

t.test('options of Node that it does not know end no program', async (t) => {
  const bogus = { NODE_OPTIONS: '--bogus' }
  const echo = await startEcho(t)
  const alone = await ownProcess.startProxy(t, echo, { env: bogus })
  t.equal(await exchange(t, alone.port, 'alone'), 'alone')
  const proxyd = await startProxyd(t, { env: bogus })
  const { port } = await proxyd.publish(echo, { env: bogus })
  t.equal(await exchange(t, port, 'shared'), 'shared')
  const daemon = await startDaemon(t, { env: bogus })
  t.same(await daemon.client.list(), [])
})

t.test('docker-proxyd', async (t) => {
  const proxyd = await startProxyd(t, { env })
  process.kill(proxyd.pid, 'SIGUSR1')
  process.kill(proxyd.pid, 'SIGHUP')
  const { port } = await proxyd.publish(await startEcho(t))
  t.equal(await exchange(t, port, 'alive'), 'alive')
  t.strictSame(listeningPorts(proxyd.pid), [port])
  await until(() => proxyd.lines.some(({ msg }) => String(msg).startsWith('SIGHUP is ignored')))
})

t.test('the daemon, and the shared process of a publication', async (t) => {
  const daemon = await startDaemon(t, { env })
  const echo = await startEcho(t)
  const port = freeRow(1)
  const { ports } = await daemon.client.add({
    name: 'a',
    backend: '127.0.0.1',
    ports: [`127.0.0.1:${port}:${echo.port}`],
    isolation: 'shared',
  })
  const shared = ports[0]?.pid ?? 0
  for (const pid of [daemon.running.pid, shared]) {
    process.kill(pid, 'SIGUSR1')
    process.kill(pid, 'SIGHUP')
  }
  t.equal(await exchange(t, port, 'alive'), 'alive')
  t.equal((await daemon.client.list()).length, 1)
  for (const pid of [daemon.running.pid, shared]) t.strictSame(listeningPorts(pid), [port])
})
