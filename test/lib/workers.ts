import type { Test } from 'tap'
import { NodePoller } from '../../src/linux/node-poller.js'
import { DescriptorBudget } from '../../src/proxy/descriptor-budget.js'
import type { Engine, Proxy } from '../../src/proxy/engine.js'
import { nativeEngine } from '../../src/proxy/native/engine.js'
import { openKernel } from '../../src/proxy/native/kernel.js'
import { Workers } from '../../src/proxy/native/workers.js'
import { MemoryLog } from './memory-log.js'
import { until } from './until.js'

export interface RunningWorkers {
  readonly engine: Engine
  readonly workers: Workers
  /** What the workers have told. */
  readonly log: MemoryLog
  /** Adds a worker, and waits until it is there. */
  readonly add: () => Promise<void>
  readonly publish: (backend: { ip: string; port: number }) => Promise<Proxy>
}

/** The native engine with workers; they are stopped with the test. */
export function startWorkers(t: Test, threads: number, idleMs?: number): RunningWorkers {
  const log = new MemoryLog()
  const kernel = openKernel(() => new NodePoller())
  const workers = new Workers(kernel, threads, idleMs)
  const engine = nativeEngine(kernel, workers)
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
      workers.add(log)
      await until(() => workers.count === wanted)
    },
    async publish(backend) {
      const proxy = await engine.listen(
        {
          protocol: 'tcp',
          hostIp: '127.0.0.1',
          hostPort: 0,
          // Read when it is asked for: a worker asks later than the main thread.
          get containerIp() {
            return backend.ip
          },
          containerPort: backend.port,
        },
        { log, descriptors: new DescriptorBudget() },
      )
      t.teardown(() => proxy.close())
      return proxy
    },
  }
}
