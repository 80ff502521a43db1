import t from 'tap'
import { formatDuration } from '../src/duration.js'

t.test('durations in the words of docker ps', async (t) => {
  const [s, m, h, d] = [1000, 60_000, 3_600_000, 86_400_000]
  const cases: [number, string][] = [
    [0, 'Less than a second'],
    [999, 'Less than a second'],
    [s, '1 second'],
    [59 * s, '59 seconds'],
    [m, 'About a minute'],
    [3 * m + 59 * s, '3 minutes'],
    [h, 'About an hour'],
    [47 * h, '47 hours'],
    [2 * d, '2 days'],
    [13 * d, '13 days'],
    [14 * d, '2 weeks'],
    [60 * d, '2 months'],
    [700 * d, '23 months'],
    [730 * d, '2 years'],
  ]
  for (const [ms, words] of cases) t.equal(formatDuration(ms), words)
})
