import t from 'tap'
import { allowedCores, divideCores, onCores, parseCores } from '../../bench/lib/cores.js'

t.test('lists of cores as the kernel writes them', async (t) => {
  t.same(parseCores('0'), [0])
  t.same(parseCores('0-3'), [0, 1, 2, 3])
  t.same(parseCores('0-1,8,10-11'), [0, 1, 8, 10, 11])
  t.ok(allowedCores().length >= 1)
})

t.test('proxy and load have cores of their own where there are enough', async (t) => {
  t.equal(divideCores([0]), undefined)
  t.equal(divideCores([0, 1, 2]), undefined)
  t.same(divideCores([0, 1, 2, 3]), { proxy: [0, 1], load: [2, 3] })
  t.same(divideCores([4, 5, 8, 9, 10]), { proxy: [4, 5], load: [8, 9, 10] })
})

t.test('the command that keeps a program on its cores', async (t) => {
  t.same(onCores(undefined), [])
  t.same(onCores([0, 3]), ['taskset', '-c', '0,3'])
})
