import t from 'tap'
import { RetryQueue } from '../../src/proxyd/retry-queue.js'
import { until } from '../lib/until.js'

t.test('a launcher is retried until it is removed', async (t) => {
  const attempts: [number, boolean][] = []
  const queue = new RetryQueue((pid, wasWaiting) => {
    attempts.push([pid, wasWaiting])
    if (attempts.length < 4) queue.add(pid, wasWaiting)
    else queue.remove(pid)
  })
  t.teardown(() => queue.close())
  t.equal(queue.add(1, true), true)
  t.equal(queue.add(1, true), false, 'it is already there')
  t.ok(queue.has(1) && queue.hasWaiting(1))
  queue.add(2, false)
  t.notOk(queue.hasWaiting(2))
  await until(() => attempts.length >= 4)
  t.strictSame(attempts.slice(0, 4), [
    [1, true],
    [2, false],
    [1, true],
    [2, false],
  ])
  t.notOk(queue.has(2))
  t.equal(queue.remove(2), false)
})

t.test('a closed queue retries nothing', async (t) => {
  const queue = new RetryQueue(() => t.fail('it is closed'))
  queue.add(1, false)
  queue.close()
  t.ok(queue.has(1))
})
