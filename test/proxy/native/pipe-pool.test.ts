import t from 'tap'
import { requireCalls } from '../../../src/linux/calls.js'
import { countOpenDescriptors } from '../../../src/linux/descriptors.js'
import { PipePool } from '../../../src/proxy/native/pipe-pool.js'

t.test('pipes are used again when empty, and closed when not', async (t) => {
  const before = countOpenDescriptors()
  const pool = new PipePool(requireCalls(), () => 2)
  const first = pool.take()
  const second = pool.take()
  t.equal(countOpenDescriptors(), before + 4)
  t.equal(pool.take(), undefined, 'there are no more than the limit')
  if (!first || !second) throw new Error('no pipes')
  pool.give(first)
  t.equal(pool.take(), first)
  first.held = 1
  second.held = 1
  pool.give(first)
  pool.give(second)
  t.equal(countOpenDescriptors(), before)
  const third = pool.take()
  if (third) pool.give({ ...third, held: 1 })
  t.equal(countOpenDescriptors(), before)
})
