import { closeSync, openSync } from 'node:fs'
import t from 'tap'
import { countOpenDescriptors, descriptorLimit } from '../../src/linux/proc/descriptors.js'
import { DescriptorBudget, type PausableListener } from '../../src/proxy/descriptor-budget.js'
import { until } from '../lib/until.js'

t.test('the capacity follows the limit of the process', async (t) => {
  const { capacity } = new DescriptorBudget()
  t.ok(capacity > 0)
  t.ok(capacity < descriptorLimit() / 2)
})

t.test('a new measurement accounts for descriptors opened elsewhere', async (t) => {
  const budget = new DescriptorBudget()
  const before = budget.capacity
  const opened = Array.from({ length: 40 }, () => openSync('/dev/null', 'r'))
  budget.acquire(5)
  budget.remeasure()
  t.equal(before + 5 - budget.capacity, 20)
  for (const fd of opened) closeSync(fd)
  budget.remeasure()
  t.equal(budget.capacity, before + 5, 'of these 5 no descriptor is open')
})

t.test('a shortage that others have made ends by itself', async (t) => {
  const budget = new DescriptorBudget()
  const listener = intake()
  budget.register(listener)
  budget.acquire()
  const opened: number[] = []
  const free = descriptorLimit() - countOpenDescriptors()
  while (opened.length < free - 8) opened.push(openSync('/dev/null', 'r'))
  budget.remeasure()
  t.ok(listener.isPaused)
  for (const fd of opened) closeSync(fd)
  await until(() => !listener.isPaused)
  t.notOk(budget.isExhausted)
})

/** A listener that remembers the last call. */
function intake(): PausableListener & { isPaused: boolean } {
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
  for (const each of all) budget.register(each)
  const paused = (): boolean[] => all.map(({ isPaused }) => isPaused)
  budget.acquire()
  t.same(paused(), [false, false])
  budget.acquire()
  t.same(paused(), [true, true])
  const late = intake()
  budget.register(late)
  t.ok(late.isPaused, 'also who comes later')
  budget.acquire()
  budget.release()
  t.same(paused(), [true, true], 'there is no room yet')
  budget.release()
  t.same(paused(), [false, false])
  t.notOk(late.isPaused)
})

t.test('the first that is resumed is another each time', async (t) => {
  const budget = new DescriptorBudget(1)
  const order: string[] = []
  for (const name of ['a', 'b', 'c']) {
    budget.register({
      pause: () => undefined,
      resume() {
        // As a listener with a waiting client does: the others are paused again at once.
        if (!budget.isExhausted) {
          order.push(name)
          budget.acquire()
        }
      },
    })
  }
  budget.acquire()
  for (let i = 0; i < 4; i++) budget.release()
  t.same(order, ['a', 'b', 'c', 'a'])
})

t.test('an unregistered listener gets no call', async (t) => {
  const budget = new DescriptorBudget(1)
  const gone = intake()
  budget.register(gone)()
  budget.acquire()
  t.notOk(gone.isPaused)
})

t.test('a shortage that comes and goes is reported once', async (t) => {
  const budget = new DescriptorBudget(1)
  t.equal(budget.shouldReportShortage(), true)
  t.equal(budget.shouldReportShortage(), false)
})
