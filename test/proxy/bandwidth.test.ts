import t from 'tap'
import { Bandwidth } from '../../src/proxy/bandwidth.js'

/** Bytes per second. */
const RATE = 1_000_000
/** Bytes of a turn, and of the first burst. */
const TURN = 10_000
const BURST = 50_000

/** A bandwidth whose time passes only by `pass`, milliseconds. */
function withClock() {
  const memory = {
    rates: new Int32Array(1),
    pauses: new Int32Array(1),
    usedUntil: new BigInt64Array(1),
  }
  let now = 10n ** 15n
  let timers: { at: bigint; callback: () => void }[] = []
  const open = (): Bandwidth =>
    new Bandwidth(
      memory,
      0,
      (ms, callback) => void timers.push({ at: now + BigInt(ms) * 1_000_000n, callback }),
      () => now,
    )
  const pass = (ms: number): void => {
    for (let i = 0; i < ms; i++) {
      now += 1_000_000n
      const due = timers.filter(({ at }) => at <= now)
      timers = timers.filter(({ at }) => at > now)
      for (const { callback } of due) callback()
    }
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
  pass(100)
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
  t.ok(Math.abs(moved - BURST - RATE) <= TURN, `${moved} bytes in a second`)
  pass(60_000)
  moved = 0
  move()
  t.equal(moved, BURST, 'time without data is not saved up')
})

t.test('bytes beyond the grant delay later ones', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(RATE)
  pass(100)
  bandwidth.spend(BURST + RATE)
  pass(995)
  t.equal(bandwidth.grant(waiter()), 0)
  t.equal(bandwidth.admits(1), false)
  pass(10)
  t.equal(bandwidth.grant(waiter()), TURN)
  t.equal(bandwidth.admits(1), true)
})

t.test('directions have their turns in order', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(RATE)
  pass(100)
  bandwidth.spend(BURST + TURN)
  const woken: string[] = []
  const named = (name: string) => waiter(() => woken.push(name))
  const [a, b, c] = [named('a'), named('b'), named('c')]
  for (const each of [a, b, c]) bandwidth.wait(each)
  pass(9)
  t.same(woken, [])
  pass(4)
  t.same(woken, ['a'])
  t.equal(bandwidth.grant(waiter()), 0, 'a newcomer does not come first')
  t.equal(bandwidth.grant(b), 0)
  t.equal(bandwidth.grant(a), TURN)
  bandwidth.spend(TURN)
  t.equal(bandwidth.grant(a), 0, 'one turn, and then the others')
  bandwidth.forget(b)
  pass(12)
  t.same(woken, ['a', 'c'])
  bandwidth.spend(10 * TURN)
  bandwidth.wait(a)
  bandwidth.limit(Infinity)
  pass(51)
  t.same(woken, ['a', 'c', 'a'], 'without a limit nobody waits any longer')
  t.equal(bandwidth.grant(a), Infinity)
})

t.test('small messages of many connections do not wait for each other', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(10 * RATE)
  pass(100)
  bandwidth.spend(RATE)
  let moved = 0
  const connections = Array.from({ length: 200 }, () => {
    const connection = waiter(() => {
      if (bandwidth.grant(connection) === 0) return bandwidth.wait(connection)
      bandwidth.spend(100)
      moved++
      // The next message comes at once.
      bandwidth.wait(connection)
    })
    return connection
  })
  for (const connection of connections) bandwidth.wait(connection)
  pass(100)
  moved = 0
  pass(1_000)
  t.ok(moved > 20_000, `${moved} messages in a second`)
})

t.test('another rate forgets the bytes that were moved before', async (t) => {
  const { open, pass } = withClock()
  const bandwidth = open()
  bandwidth.limit(1_000)
  bandwidth.spend(3_600_000)
  bandwidth.limit(RATE)
  t.equal(bandwidth.grant(waiter()), 0)
  pass(60)
  t.equal(bandwidth.grant(waiter()), TURN, 'an hour has become a moment')
  bandwidth.spend(RATE * 1_000)
  bandwidth.limit(Infinity)
  bandwidth.limit(RATE)
  pass(1)
  t.ok(bandwidth.grant(waiter()) > 0, 'no limit means no debt')
})

t.test('threads share the bandwidth', async (t) => {
  const { open, pass } = withClock()
  const [main, worker] = [open(), open()]
  main.limit(RATE)
  pass(100)
  worker.spend(BURST + TURN)
  t.equal(main.grant(waiter()), 0)
  pass(11)
  main.spend(2 * TURN)
  t.equal(worker.grant(waiter()), 0)
})
