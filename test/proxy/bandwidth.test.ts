import t from 'tap'
import { Bandwidth, BANDWIDTH_MEMORY_LENGTH, bandwidthMemory } from '../../src/proxy/bandwidth.js'

/** Bytes per second. */
const RATE = 1_000_000
/** Bytes of a turn, and of the first burst. */
const TURN = 10_000
const BURST = 50_000

/** A bandwidth whose time passes only by `pass`, milliseconds. */
function withClock() {
  const memory = new SharedArrayBuffer(BANDWIDTH_MEMORY_LENGTH)
  let now = 10n ** 15n
  let timers: (() => void)[] = []
  const open = () =>
    new Bandwidth(
      bandwidthMemory(memory, 0),
      (_, callback) => void timers.push(callback),
      () => now,
    )
  const pass = (ms: number): void => {
    now += BigInt(ms) * 1_000_000n
    const due = timers
    timers = []
    for (const callback of due) callback()
  }
  return { open, pass }
}

const waiter = (wake: () => void = () => undefined) => ({ wake })

t.test('without a limit, everything is granted', async (t) => {
  const bandwidth = withClock().open()
  t.equal(bandwidth.grant(waiter()), Infinity)
  bandwidth.spend(1e9)
  t.equal(bandwidth.grant(waiter()), Infinity)
  t.equal(bandwidth.admits(1e9), true)
})

t.test('after a burst, as much is granted as time has passed', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(RATE)
  let moved = 0
  const move = (): void => {
    for (let most; (most = bandwidth.grant(waiter())) > 0; moved += most) bandwidth.spend(most)
  }
  move()
  t.equal(moved, BURST)
  for (let ms = 0; ms < 1_000; ms += 25) {
    pass(25)
    move()
  }
  t.equal(moved, BURST + RATE)
  pass(3_600_000)
  moved = 0
  move()
  t.equal(moved, BURST, 'time without data is not saved up')
})

t.test('what was moved beyond the grant is paid for later', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(RATE)
  bandwidth.spend(BURST + RATE)
  pass(995)
  t.equal(bandwidth.grant(waiter()), 0)
  t.equal(bandwidth.admits(1), false)
  pass(15)
  t.equal(bandwidth.grant(waiter()), TURN)
  t.equal(bandwidth.admits(1), true)
})

t.test('directions have their turns in order', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(RATE)
  bandwidth.spend(BURST)
  const woken: string[] = []
  const named = (name: string) => waiter(() => woken.push(name))
  const [a, b, c] = [named('a'), named('b'), named('c')]
  for (const each of [a, b, c]) bandwidth.wait(each)
  pass(10)
  t.same(woken, ['a'])
  t.equal(bandwidth.grant(waiter()), 0, 'a newcomer does not come first')
  t.equal(bandwidth.grant(b), 0)
  t.equal(bandwidth.grant(a), TURN)
  bandwidth.spend(TURN)
  t.equal(bandwidth.grant(a), 0, 'one turn, and then the others')
  bandwidth.forget(b)
  pass(10)
  t.same(woken, ['a', 'c'])
  bandwidth.wait(a)
  bandwidth.limit(Infinity)
  pass(10)
  t.same(woken, ['a', 'c', 'a'], 'without a limit nobody waits any longer')
  t.equal(bandwidth.grant(a), Infinity)
})

t.test('threads share the bandwidth', async (t) => {
  const { open, pass } = withClock()
  const [main, worker] = [open(), open()]
  main.limit(RATE)
  worker.spend(BURST)
  t.equal(main.grant(waiter()), 0)
  pass(10)
  main.spend(TURN)
  t.equal(worker.grant(waiter()), 0)
})
