import { once } from 'node:events'
import { closeSync, fstatSync, openSync } from 'node:fs'
import t, { type Test } from 'tap'
import type { StopOptions } from '../../src/proxy/engine.js'
import type { ProxyProcess } from '../../src/supervisor/proxy-process.js'
import { describeExit, Supervisor } from '../../src/supervisor/supervisor.js'
import { MemoryLog } from '../lib/memory-log.js'
import { until } from '../lib/until.js'

/** A process that ends when the test says so. */
class FakeProcess implements ProxyProcess {
  readonly exited: Promise<number | undefined>
  stopped: StopOptions | undefined
  end!: (status?: number) => void

  constructor(readonly pid: number) {
    this.exited = new Promise((resolve) => (this.end = resolve))
  }

  async stop(options: StopOptions = {}): Promise<void> {
    this.stopped = options
    this.end(0)
    await this.exited
  }
}

/** A supervisor of fake processes. `failures` are the reasons of launches that fail, in order. */
function supervise(t: Test, failures: (string | undefined)[] = []) {
  const log = new MemoryLog()
  const processes: FakeProcess[] = []
  const bound: number[] = []
  const handed: (readonly number[])[] = []
  const supervised = {
    name: '0.0.0.0:8080/tcp',
    bind: () => {
      const fd = openSync('/dev/null', 'r')
      bound.push(fd)
      return [fd]
    },
    launch: async (fds: readonly number[]) => {
      handed.push(fds)
      const failure = failures.shift()
      if (failure !== undefined) throw new Error(failure)
      const process = new FakeProcess(1000 + processes.length)
      processes.push(process)
      return process
    },
  }
  const supervisor = new Supervisor(supervised, log)
  t.teardown(() => supervisor.stop())
  return { supervisor, log, processes, bound, handed }
}

t.test('it binds once, and hands the same sockets to each process', async (t) => {
  const { supervisor, processes, bound, handed } = supervise(t)
  await supervisor.start()
  t.strictSame(supervisor.status, { state: 'up', pid: 1000, restarts: 0 })
  t.ok(supervisor.holdsSocket)
  const restarted = once(supervisor, 'restarted')
  processes[0]?.end(7)
  t.strictSame(await restarted, [1001])
  t.equal(bound.length, 1)
  t.strictSame(handed, [bound, bound])
  t.strictSame(supervisor.status, { state: 'up', pid: 1001, restarts: 1, reason: 'exit code 7' })
})

t.test('a process that ends is reported, and the next one as well', async (t) => {
  const { supervisor, log, processes } = supervise(t)
  await supervisor.start()
  const exited = once(supervisor, 'exited')
  const restarted = once(supervisor, 'restarted')
  processes[0]?.end(128 + 9)
  t.strictSame(await exited, ['signal 9'])
  await restarted
  t.strictSame(log.lines, ['Proxy for 0.0.0.0:8080/tcp ended: signal 9; another one is started'])
})

t.test('a failed restart is repeated until it succeeds', async (t) => {
  const { supervisor, log, processes } = supervise(t, [undefined, 'no memory', 'no memory'])
  await supervisor.start()
  const restarted = once(supervisor, 'restarted')
  processes[0]?.end()
  await restarted
  t.match(supervisor.status, { state: 'up', restarts: 3, reason: 'no memory' })
  t.strictSame(log.lines, [
    'Proxy for 0.0.0.0:8080/tcp ended: killed, or its status was lost; another one is started',
    "Can't start the proxy for 0.0.0.0:8080/tcp: no memory",
    "Can't start the proxy for 0.0.0.0:8080/tcp: no memory",
  ])
})

t.test('the first start is not repeated: the caller decides', async (t) => {
  const { supervisor, handed } = supervise(t, ['port is cursed'])
  await t.rejects(supervisor.start(), { message: 'port is cursed' })
  await supervisor.stop()
  t.equal(handed.length, 1)
})

t.test('stop closes the sockets, and passes the drain time to the process', async (t) => {
  const { supervisor, processes, bound } = supervise(t)
  await supervisor.start()
  await supervisor.stop({ drainMs: 1_234 })
  t.strictSame(processes[0]?.stopped, { drainMs: 1_234 })
  t.throws(() => fstatSync(bound[0] ?? -1), { code: 'EBADF' })
  t.match(supervisor.status, { state: 'stopped', restarts: 0 })
  await t.rejects(supervisor.start(), { message: 'withdrawn meanwhile' })
})

t.test('a process that is starting when stop is called is ended as well', async (t) => {
  const { supervisor, processes } = supervise(t)
  const started = supervisor.start()
  const stopped = supervisor.stop()
  await started
  await stopped
  t.ok(processes[0]?.stopped)
})

t.test('leave neither ends nor restarts the process', async (t) => {
  const { supervisor, processes, handed } = supervise(t)
  await supervisor.start()
  supervisor.leave()
  t.equal(processes[0]?.stopped, undefined)
  processes[0]?.end(1)
  await processes[0]?.exited
  t.equal(handed.length, 1)
})

t.test('an adopted process is restarted like any other, with new sockets', async (t) => {
  const { supervisor, bound } = supervise(t)
  const adopted = new FakeProcess(77)
  supervisor.adopt(adopted)
  t.match(supervisor.status, { state: 'up', pid: 77 })
  t.notOk(supervisor.holdsSocket)
  adopted.end(1)
  await until(() => supervisor.status.pid === 1000)
  t.equal(bound.length, 1)
})

t.test('sockets that are already bound are used, and closed by the supervisor', async (t) => {
  const fd = openSync('/dev/null', 'r')
  const handed: (readonly number[])[] = []
  const supervised = {
    name: 'x',
    bind: () => t.fail('nothing is to be bound') as never,
    launch: async (fds: readonly number[]) => {
      handed.push(fds)
      return new FakeProcess(1)
    },
  }
  const supervisor = new Supervisor(supervised, new MemoryLog(), [fd])
  await supervisor.start()
  await supervisor.stop()
  t.strictSame(handed, [[fd]])
  t.throws(() => closeSync(fd), { code: 'EBADF' })
})

t.test('how a process ended', async (t) => {
  t.equal(describeExit(undefined), 'killed, or its status was lost')
  t.equal(describeExit(0), 'exit code 0')
  t.equal(describeExit(128), 'exit code 128')
  t.equal(describeExit(143), 'signal 15')
})
