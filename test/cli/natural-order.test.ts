import t from 'tap'
import { compareNaturally } from '../../src/cli/natural-order.js'

t.test('numbers by value, other characters by code', async (t) => {
  const lines = [
    '10/tcp -> 0.0.0.0:80',
    '8/tcp -> [::]:90',
    '8/tcp -> 0.0.0.0:100',
    '8/tcp -> 0.0.0.0:90',
    '8/tcp',
  ]
  t.strictSame(lines.sort(compareNaturally), [
    '8/tcp',
    '8/tcp -> 0.0.0.0:90',
    '8/tcp -> 0.0.0.0:100',
    '8/tcp -> [::]:90',
    '10/tcp -> 0.0.0.0:80',
  ])
})
