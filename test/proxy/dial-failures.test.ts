import t from 'tap'
import { DialFailures, RECENT_MS } from '../../src/proxy/dial-failures.js'

const refused = Object.assign(new Error(), { code: 'ECONNREFUSED' })

t.test('recent failures are counted, and the last one is kept', async (t) => {
  const failures = new DialFailures()
  t.strictSame(failures.report(0), { recentFailedDials: 0 })
  for (let i = 0; i < 300; i++) failures.note(refused, 1000 + i)
  const lastFailedDial = {
    reason: 'connection refused',
    time: new Date(1299).toISOString(),
  }
  const failedDialReasons = { 'connection refused': 300 }
  t.strictSame(failures.report(2000), {
    ...{ recentFailedDials: 300, lastFailedDial, failedDialReasons },
  })
  t.strictSame(failures.report(1000 + RECENT_MS), {
    ...{ recentFailedDials: 0, lastFailedDial, failedDialReasons },
  })
})

t.test('failures are forgotten part by part', async (t) => {
  const failures = new DialFailures()
  const half = RECENT_MS / 2
  for (let at = 0; at < 4 * RECENT_MS; at += 1000) failures.note(refused, at)
  const { recentFailedDials } = failures.report(4 * RECENT_MS)
  t.ok(recentFailedDials >= 270 && recentFailedDials <= 300, String(recentFailedDials))
  const later = failures.report(4 * RECENT_MS + half).recentFailedDials
  t.ok(later >= 120 && later <= 150, String(later))
})

t.test('failures are counted by reason, and rare reasons together', async (t) => {
  const failures = new DialFailures()
  for (let i = 0; i < 20; i++) failures.note(new Error(`reason ${i}`))
  failures.note(new Error('reason 0'))
  const { failedDialReasons = {} } = failures.report()
  t.match(failedDialReasons, { 'reason 0': 2, 'reason 15': 1, other: 4 })
  t.equal(Object.keys(failedDialReasons).length, 17)
})
