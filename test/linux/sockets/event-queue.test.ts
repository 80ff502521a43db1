import t from 'tap'
import { requireCheckedSyscalls } from '../../../src/linux/ffi/checked-syscalls.js'
import { EPOLL } from '../../../src/linux/ffi/constants.js'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { BlockingPoller } from '../../../src/linux/sockets/blocking-poller.js'
import { EventQueue } from '../../../src/linux/sockets/event-queue.js'

t.test('first in, first out, also after it was empty', async (t) => {
  const queue = new EventQueue()
  for (let round = 0; round < 2; round++) {
    t.ok(queue.isEmpty)
    queue.add(7)
    queue.add(8)
    t.equal(queue.take(), 7)
    queue.add(9)
    t.equal(queue.take(), 8)
    t.equal(queue.take(), 9)
  }
})

t.test('a queue that is never empty does not grow', async (t) => {
  const queue = new EventQueue()
  for (let i = 0; i < 100; i++) queue.add(i)
  for (let i = 0; i < 100_000; i++) {
    const fd = queue.take()
    if (fd !== i % 100) t.fail(`${fd} came at place ${i}`)
    queue.add(fd)
  }
  t.ok(queue.places < 5_000, `${queue.places} places`)
})

t.test('an event does not wait for all events of another queue', async (t) => {
  const syscalls = requireSyscalls()
  const poller = new BlockingPoller()
  const busy = new EventQueue()
  let handled = 0
  let handledBefore = -1
  const watch = (queue: EventQueue, onReady: () => void): void => {
    const fd = requireCheckedSyscalls().openEventFd()
    t.teardown(() => poller.close(fd))
    const onError = (err: unknown): void => void t.error(err)
    poller.watch(fd, EPOLL.IN | EPOLL.ET, { onReady, onError }, queue)
    syscalls.signalEventFd(fd)
  }
  // More than one call of epoll_wait(2) reports.
  for (let i = 0; i < 1_000; i++) watch(busy, () => ++handled === 1_000 && poller.stop())
  watch(new EventQueue(), () => (handledBefore = handled))
  poller.run()
  t.equal(handled, 1_000)
  t.equal(handledBefore, busy.turn, 'it had its turn after the first one of the other queue')
  poller.closeSet()
})
