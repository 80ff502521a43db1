import t from 'tap'
import { WaitingDials } from '../../src/proxy/waiting-dials.js'

t.test('dials wait for their turn, the oldest first, and some at a time', async (t) => {
  const timers: (() => void)[] = []
  const waiting = new WaitingDials((_milliseconds, callback) => timers.push(callback))
  const dialled: number[] = []
  for (let i = 0; i < 20; i++) waiting.add(() => dialled.push(i))
  t.equal(timers.length, 1)
  timers.shift()?.()
  t.strictSame(dialled, [0, 1, 2, 3, 4, 5, 6, 7])
  // One that fails again waits behind the others.
  waiting.add(() => dialled.push(20))
  while (timers.length > 0) timers.shift()?.()
  t.strictSame(
    dialled,
    Array.from({ length: 21 }, (_, i) => i),
  )
  waiting.add(() => dialled.push(21))
  t.equal(timers.length, 1, 'the turns begin again')
})
