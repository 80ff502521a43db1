import type { Test } from 'tap'
import { NodePoller } from '../../src/linux/sockets/node-poller.js'
import type { Engine, Proxy } from '../../src/proxy/engine.js'
import { nativeEngine } from '../../src/proxy/native/engine.js'
import { openReactor } from '../../src/proxy/native/reactor.js'
import { Workers } from '../../src/proxy/native/workers.js'
import { listen } from './listen.js'
import { MemoryLog } from './memory-log.js'
import { until } from './until.js'

export interface RunningWorkers {
  readonly engine: Engine
  readonly workers: Workers
  /** The log of the engine and of the ports. */
  readonly log: MemoryLog
  /** Adds a worker, and waits until it is ready. */
  readonly add: () => Promise<void>
  readonly publish: (backend: { ip: string; port: number }) => Promise<Proxy>
}

/** Opens the native engine with workers. They are stopped when the test ends. */
export function startWorkers(t: Test, threads: number, idleMs?: number): RunningWorkers {
  const log = new MemoryLog()
  const reactor = openReactor(() => new NodePoller())
  const workers = new Workers(reactor, log, threads, idleMs)
  const engine = nativeEngine(reactor, workers)
  t.teardown(async () => {
    workers.stop()
    await until(() => workers.count === 0)
  })
  return {
    engine,
    workers,
    log,
    async add() {
      const wanted = workers.count + 1
      workers.add()
      await until(() => workers.count === wanted)
    },
    publish: async (backend) => (await listen(t, engine, backend, { log })).proxy,
  }
}
