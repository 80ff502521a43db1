import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import { countOpenDescriptors, descriptorLimit } from '../../src/linux/descriptors.js'
import { DescriptorBudget, type Intake } from '../../src/proxy/descriptor-budget.js'
import { until } from '../lib/until.js'

t.test('the capacity follows the limit of the process', async (t) => {
  const { capacity } = new DescriptorBudget()
  t.ok(capacity > 0)
  t.ok(capacity < descriptorLimit() / 2)
})

t.test('measured again, it makes room for what others have opened', async (t) => {
  const budget = new DescriptorBudget()
  const before = budget.capacity
  const opened = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  budget.take(5)
  budget.measureAgain()
  t.equal(before + 5 - budget.capacity, 20)
  for (const fd of opened) closeSync(fd)
  budget.measureAgain()
  t.equal(budget.capacity, before + 5, 'of these 5 no descriptor is open')
})

t.test('a shortage that others have made ends by itself', async (t) => {
  const budget = new DescriptorBudget()
  const listener = intake()
  budget.govern(listener)
  budget.take()
  const opened: number[] = []
  const free = descriptorLimit() - countOpenDescriptors()
  while (opened.length < free - 8) opened.push(openSync('/dev/null', 'r'))
  budget.measureAgain()
  t.ok(listener.isPaused)
  for (const fd of opened) closeSync(fd)
  await until(() => !listener.isPaused)
  t.notOk(budget.exhausted)
})

/** One that tells what it was told last. */
function intake(): Intake & { isPaused: boolean } {
  return {
    isPaused: false,
    pause() {
      this.isPaused = true
    },
    resume() {
      this.isPaused = false
    },
  }
}

t.test('all are paused while there is no room', async (t) => {
  const budget = new DescriptorBudget(2)
  const all = [intake(), intake()]
  for (const each of all) budget.govern(each)
  const paused = (): boolean[] => all.map(({ isPaused }) => isPaused)
  budget.take()
  t.same(paused(), [false, false])
  budget.take()
  t.same(paused(), [true, true])
  const late = intake()
  budget.govern(late)
  t.ok(late.isPaused, 'also who comes later')
  budget.take()
  budget.give()
  t.same(paused(), [true, true], 'there is no room yet')
  budget.give()
  t.same(paused(), [false, false])
  t.notOk(late.isPaused)
})

t.test('the first that is resumed is another each time', async (t) => {
  const budget = new DescriptorBudget(1)
  const order: string[] = []
  for (const name of ['a', 'b', 'c']) {
    budget.govern({
      pause: () => undefined,
      resume() {
        // As one does for whom a client waits: the others are paused again at once.
        if (!budget.exhausted) {
          order.push(name)
          budget.take()
        }
      },
    })
  }
  budget.take()
  for (let i = 0; i < 4; i++) budget.give()
  t.same(order, ['a', 'b', 'c', 'a'])
})

t.test('who has left is told nothing', async (t) => {
  const budget = new DescriptorBudget(1)
  const gone = intake()
  budget.govern(gone)()
  budget.take()
  t.notOk(gone.isPaused)
})

t.test('a shortage that comes and goes is told once', async (t) => {
  const budget = new DescriptorBudget(1)
  t.equal(budget.isShortageWorthAWord(), true)
  t.equal(budget.isShortageWorthAWord(), false)
})
