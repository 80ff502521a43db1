import t from 'tap'
import { median, percentile, summarize } from '../../bench/lib/statistics.js'

t.test('median', async (t) => {
  t.equal(median([3, 1, 2]), 2)
  t.equal(median([4, 1, 2, 3]), 2.5)
  t.equal(median([10, 9]), 9.5, 'by number, not by letter')
  t.equal(median([7]), 7)
  t.ok(Number.isNaN(median([])))
})

t.test('percentile, by the nearest rank', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  t.equal(percentile(hundred, 50), 50)
  t.equal(percentile(hundred, 99), 99)
  t.equal(percentile(hundred, 99.9), 100)
  t.equal(percentile(hundred, 0), 1)
  t.equal(percentile([5], 99), 5)
  t.ok(Number.isNaN(percentile([], 50)))
})

t.test('rounds come to a median with its spread, which may be too wide', async (t) => {
  t.same(summarize([100, 90, 110]), { median: 100, low: 90, high: 110, noisy: false })
  t.match(summarize([100, 80, 115]), { median: 100, noisy: true })
  t.match(summarize([100, 99, 101, 100, 20]), { low: 20, noisy: false }, 'one that is off')
  t.match(summarize([100, 99, 140, 60, 150]), { median: 100, noisy: true })
  t.match(summarize([5]), { median: 5, low: 5, high: 5, noisy: false })
  t.match(summarize([0, 0]), { median: 0, noisy: false })
})
