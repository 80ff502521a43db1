import t from 'tap'
import { requireSyscalls } from '../../../src/linux/ffi/syscalls.js'
import { countOpenDescriptors } from '../../../src/linux/proc/descriptors.js'
import { PipePool } from '../../../src/proxy/native/pipe-pool.js'

t.test('pipes are used again when empty, and closed when not', async (t) => {
  const before = countOpenDescriptors()
  const pool = new PipePool(requireSyscalls(), () => 2)
  const first = pool.borrow()
  const second = pool.borrow()
  t.equal(countOpenDescriptors(), before + 4)
  t.equal(pool.borrow(), undefined, 'there are no more than the limit')
  if (!first || !second) throw new Error('no pipes')
  pool.giveBack(first)
  t.equal(pool.borrow(), first)
  first.buffered = 1
  second.buffered = 1
  pool.giveBack(first)
  pool.giveBack(second)
  t.equal(countOpenDescriptors(), before)
  const third = pool.borrow()
  if (third) pool.giveBack({ ...third, buffered: 1 })
  t.equal(countOpenDescriptors(), before)
})
