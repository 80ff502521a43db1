import t from 'tap'
import { Durations } from '../../src/proxy/durations.js'

t.test('counts durations by class', (t) => {
  const durations = new Durations()
  t.same(durations.report(), {})
  for (const ms of [0, 10, 11, 59_999, 60_001, 1e9]) durations.note(ms)
  const sumMs = 21 + 59_999 + 60_001 + 1e9
  t.same(durations.report(), { durations: { counts: [2, 1, 0, 0, 1, 1, 0, 0, 1], sumMs } })
  t.end()
})
