import t from 'tap'
import type { NodePoller } from '../../../src/linux/sockets/node-poller.js'
import type { Reactor } from '../../../src/proxy/native/reactor.js'
import { Workload } from '../../../src/proxy/native/workload.js'

/** A thread with simulated work. `step` is one interval of it. */
function startWork() {
  const poller = { handledEvents: 0 }
  const pipes = { borrowed: 0 }
  let idle = 0
  let now = 1
  const reactor = { poller, pipes } as unknown as Reactor<NodePoller>
  const workload = new Workload(
    reactor,
    () => idle,
    () => now,
  )
  return (events: number, splices: number, idleMs = 0, passedMs = 250): boolean => {
    poller.handledEvents += events
    pipes.borrowed += splices
    idle += idleMs
    now += passedMs
    return workload.benefitsFromThread()
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

t.test('old measurements do not count', async (t) => {
  const step = startWork()
  step(1000, 0)
  t.ok(step(1000, 0))
  t.notOk(step(1000, 0, 0, 60_000))
  t.ok(step(1000, 0))
})
