import t from 'tap'
import { descriptorLimit } from '../../src/linux/descriptors.js'
import { DescriptorBudget } from '../../src/proxy/descriptor-budget.js'

t.test('the capacity follows the limit of the process', async (t) => {
  const { capacity } = new DescriptorBudget()
  t.ok(capacity > 0)
  t.ok(capacity < descriptorLimit() / 2)
})

t.test('those who wait are woken one for each place, the first first', async (t) => {
  const budget = new DescriptorBudget(2)
  const woken: string[] = []
  const wake = (name: string) => () => {
    woken.push(name)
    budget.take()
  }
  budget.take()
  t.notOk(budget.exhausted)
  budget.take()
  t.ok(budget.exhausted)
  budget.wait(wake('a'))
  budget.wait(wake('b'))
  t.same(woken, [])
  budget.give()
  t.same(woken, ['a'])
  budget.give()
  t.same(woken, ['a', 'b'])
  budget.give()
  budget.give()
  t.same(woken, ['a', 'b'])
})

t.test('who has left is not woken', async (t) => {
  const budget = new DescriptorBudget(1)
  budget.take()
  const wake = () => t.fail('woken')
  budget.wait(wake)
  budget.forget(wake)
  budget.give()
})

t.test('a shortage that comes and goes is told once', async (t) => {
  const budget = new DescriptorBudget(1)
  t.equal(budget.isShortageWorthAWord(), true)
  t.equal(budget.isShortageWorthAWord(), false)
})
