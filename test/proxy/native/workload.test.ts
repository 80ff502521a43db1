import t from 'tap'
import type { NodePoller } from '../../../src/linux/node-poller.js'
import type { Kernel } from '../../../src/proxy/native/kernel.js'
import { Workload } from '../../../src/proxy/native/workload.js'

/** A thread whose work is what the test says: `step` is a while of it. */
function startWork() {
  const poller = { events: 0 }
  const pipes = { taken: 0 }
  let idle = 0
  let now = 1
  const kernel = { poller, pipes } as unknown as Kernel<NodePoller>
  const workload = new Workload(
    kernel,
    () => idle,
    () => now,
  )
  return (events: number, splices: number, idleMs = 0, passedMs = 250): boolean => {
    poller.events += events
    pipes.taken += splices
    idle += idleMs
    now += passedMs
    return workload.gainsByThread()
  }
}

t.test('small messages gain by a thread, on busy cores too', async (t) => {
  const step = startWork()
  t.notOk(step(1000, 0), 'the first time there is nothing to compare with')
  t.ok(step(1000, 0))
  t.ok(step(1000, 100), 'a little bulk is among them')
})

t.test('bulk gains where a core is free', async (t) => {
  const step = startWork()
  t.notOk(step(1000, 900, 200))
  t.notOk(step(1000, 900, 200), 'what the cores did before is not known')
  t.ok(step(1000, 900, 200))
  t.notOk(step(1000, 900, 20), 'and is free no longer')
})

t.test('what was long ago says nothing', async (t) => {
  const step = startWork()
  step(1000, 0)
  t.ok(step(1000, 0))
  t.notOk(step(1000, 0, 0, 60_000))
  t.ok(step(1000, 0))
})
