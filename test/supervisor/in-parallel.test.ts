import t from 'tap'
import { deferred } from '../../src/deferred.js'
import { inParallel } from '../../src/supervisor/in-parallel.js'

t.test('results are in the order of the items, and at most `limit` run at a time', async (t) => {
  let running = 0
  let most = 0
  const results = await inParallel(3, [5, 4, 3, 2, 1, 0], async (item) => {
    most = Math.max(most, ++running)
    for (let turns = 0; turns < item; turns++) await Promise.resolve()
    running--
    return item * 10
  })
  t.strictSame(results, [50, 40, 30, 20, 10, 0])
  t.equal(most, 3)
})

t.test('after a failure nothing is started, and work under way is awaited', async (t) => {
  const started: number[] = []
  const slow = deferred()
  let slowEnded = false
  const all = inParallel(2, [0, 1, 2, 3], async (item) => {
    started.push(item)
    if (item === 0) throw new Error('first')
    await slow.promise
    slowEnded = true
    throw new Error('second')
  })
  const rejected = t.rejects(all, { message: 'first' })
  slow.resolve()
  await rejected
  t.ok(slowEnded)
  t.strictSame(started, [0, 1])
})
