import t from 'tap'
import { Rates } from '../../src/cli/rates.js'

t.test('counts become rates', (t) => {
  const rates = new Rates()
  t.equal(rates.next(new Map([['a', [5]]]), 0)('a'), undefined, 'the first look')
  const rateOf = rates.next(
    new Map([
      ['a', [25]],
      ['new', [7]],
    ]),
    2_000,
  )
  t.same(rateOf('a'), [10])
  t.equal(rateOf('new'), undefined)
  t.equal(rateOf('none'), undefined)
  t.same(rates.next(new Map([['a', [3]]]), 3_000)('a'), [3], 'it has begun again at 0')
  t.end()
})
