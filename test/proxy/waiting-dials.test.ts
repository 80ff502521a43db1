import t from 'tap'
import { WaitingDials, type WaitingDial } from '../../src/proxy/waiting-dials.js'

t.test('dials wait for their turn, the oldest first, and some at a time', async (t) => {
  const timers: (() => void)[] = []
  const waiting = new WaitingDials((_milliseconds, callback) => timers.push(callback))
  const done: string[] = []
  const dial = (name: number, until = Infinity): WaitingDial => ({
    until,
    dialAgain: () => done.push(`dial ${name}`),
    giveUp: () => done.push(`give up ${name}`),
  })
  const dials = (first: number, last: number): string[] =>
    Array.from({ length: last - first + 1 }, (_, i) => `dial ${first + i}`)
  for (let i = 0; i < 20; i++) waiting.add(dial(i))
  t.equal(timers.length, 1)
  timers.shift()?.()
  t.strictSame(done, dials(0, 7))
  // One that fails again waits behind the others.
  waiting.add(dial(20))
  // One whose time is over does not wait for its turn.
  waiting.add(dial(21, performance.now()))
  timers.shift()?.()
  t.strictSame(done, [...dials(0, 7), 'give up 21', ...dials(8, 15)])
  while (timers.length > 0) timers.shift()?.()
  t.strictSame(done.slice(-5), dials(16, 20))
  waiting.add(dial(22))
  t.equal(timers.length, 1, 'the turns begin again')
})
