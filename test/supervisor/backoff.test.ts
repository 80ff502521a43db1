import t from 'tap'
import { Backoff, FIRST_DELAY_MS, LAST_DELAY_MS, STABLE_MS } from '../../src/supervisor/backoff.js'

t.test('the first restart is immediate, and then the wait doubles up to the longest', async (t) => {
  const backoff = new Backoff()
  const delays = Array.from({ length: 10 }, () => backoff.next())
  t.strictSame(delays, [0, 100, 200, 400, 800, 1_600, 3_200, 6_400, LAST_DELAY_MS, LAST_DELAY_MS])
  t.equal(delays[1], FIRST_DELAY_MS)
})

t.test('a process that has lived long is restarted at once, another one is not', async (t) => {
  const backoff = new Backoff()
  backoff.next()
  backoff.next()
  backoff.ended(STABLE_MS)
  t.equal(backoff.next(), 2 * FIRST_DELAY_MS, 'it ended too early')
  backoff.ended(STABLE_MS + 1)
  t.equal(backoff.next(), 0)
  t.equal(backoff.next(), FIRST_DELAY_MS)
})
