import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { compareResults, formatChanges, isWorse, notInBoth } from '../../bench/lib/compare.js'
import type { Results, Row } from '../../bench/lib/results.js'
import { exampleResults, exampleValue } from '../lib/example-results.js'
import { inCleanEnvironment } from '../lib/program.js'

/** The example with other rounds of requests for our engine and the original. */
function withRates(native: number[], base = native.map(() => 40_000)): Results {
  const results = exampleResults()
  const rows = results.scenarios[0]?.rows ?? []
  for (const row of rows) {
    if (row.peer === 'native') row.values['rate'] = exampleValue(native)
    if (row.peer === 'docker-proxy') row.values['rate'] = exampleValue(base)
  }
  return results
}

const rateOf = (before: Results, after: Results) =>
  compareResults(before, after).find(
    ({ scenario, figure }) => scenario === 'keepalive' && figure.key === 'rate',
  )

/** Our engine's row of a scenario. */
function nativeRow(results: Results, index: number): Row {
  const row = results.scenarios[index]?.rows.find(({ peer }) => peer === 'native')
  if (!row) throw new Error('the example has it')
  return row
}

t.test('slower is what lies apart, and by how much', async (t) => {
  const before = withRates([50_000, 51_000, 52_000])
  t.match(rateOf(before, before), { verdict: 'same', change: 0 })
  t.match(rateOf(before, withRates([41_000, 40_800, 42_000])), {
    verdict: 'slower',
    peer: 'native',
    ratios: [1.275, 1.025],
  })
  t.match(rateOf(before, withRates([61_000, 61_200, 62_000])), { verdict: 'faster' })
  t.match(rateOf(before, withRates([40_000, 46_000, 56_000])), { verdict: 'too noisy' })
  const once = [50_000, 51_000, 52_000, 51_500, 30_000]
  t.match(
    rateOf(withRates(once), withRates([40_000, 41_000, 42_000, 41_500, 60_000])),
    { verdict: 'slower' },
    'one round that is off hides nothing',
  )
  t.match(rateOf(before, withRates([49_500, 49_600, 49_700])), { verdict: 'same' }, 'too little')
})

t.test('of latency more is slower', async (t) => {
  const after = exampleResults()
  nativeRow(after, 0).values['p99'] = exampleValue([9_000, 9_100, 9_200])
  const changes = compareResults(exampleResults(), after)
  t.match(
    changes.filter(({ verdict }) => ['slower', 'faster'].includes(verdict)),
    [{ figure: { key: 'p99' }, verdict: 'slower' }],
  )
})

t.test('what is slow by the machine makes nobody slower, round by round', async (t) => {
  const before = withRates([50_000, 51_000, 52_000])
  const half = withRates([25_000, 25_500, 26_000], [20_000, 20_000, 20_000])
  t.match(rateOf(before, half), { verdict: 'same' })
  const behind = withRates([50_000, 51_000, 52_000], [80_000, 80_000, 80_000])
  t.match(rateOf(before, behind), { verdict: 'slower' })
  const shaken = withRates([25_000, 51_000, 13_000], [20_000, 40_000, 10_000])
  t.match(rateOf(before, shaken), { verdict: 'same' })
})

t.test('memory is compared as it is, whatever that of the original', async (t) => {
  const [before, after] = [exampleResults(), exampleResults()]
  for (const [results, base] of [
    [before, 40],
    [after, 80],
  ] as const) {
    nativeRow(results, 1).values['at3000'] = exampleValue([11, 11, 11])
    const row = results.scenarios[1]?.rows.find(({ peer }) => peer === 'docker-proxy')
    if (row) row.values['at3000'] = exampleValue([base, base, base])
  }
  const change = compareResults(before, after).find(({ figure }) => figure.key === 'at3000')
  t.match(change, { verdict: 'same', change: 0 })
  t.equal(change?.ratios, undefined)
})

t.test('one or two rounds are too few to tell', async (t) => {
  const before = withRates([50_000, 51_000])
  t.match(rateOf(before, withRates([10_000, 10_100])), { verdict: 'too few rounds' })
})

t.test('what was nothing before', async (t) => {
  const [before, after] = [exampleResults(), exampleResults()]
  nativeRow(before, 0).values['p99'] = exampleValue([0, 0, 0])
  nativeRow(after, 0).values['p99'] = exampleValue([5, 5, 5])
  for (const results of [before, after]) results.scenarios[0]?.rows.splice(0, 1)
  const change = compareResults(before, after).find(({ figure }) => figure.key === 'p99')
  t.match(change, { verdict: 'slower', change: Infinity })
  t.notMatch(formatChanges(change ? [change] : []), /Infinity|NaN/)
})

t.test(
  'one of ours that fails now is worse; a figure that was not measured again is left out',
  async (t) => {
    const after = exampleResults()
    const row = nativeRow(after, 0)
    row.values = {}
    row.failure = 'it ended by SIGSEGV, in round 2'
    const changes = compareResults(exampleResults(), after)
    t.match(
      changes.filter(({ verdict }) => verdict === 'failed').map(({ figure }) => figure.key),
      ['rate', 'p99'],
    )
    t.ok(isWorse(changes))
    t.match(formatChanges(changes), /failed +keepalive +native +requests +51,000 \/s → failed/)
    t.notOk(isWorse(compareResults(exampleResults(), { ...after, scenarios: [] })))
    t.same(notInBoth(exampleResults(), { ...after, scenarios: [], peers: [] }), [
      'the peer native was not measured again',
      'the scenario keepalive was not measured again',
      'the scenario idle was not measured again',
    ])
  },
)

function compare(t: Test, before: unknown, after: unknown) {
  const folder = t.testdir()
  const paths = [before, after].map((content, i) => {
    const path = join(folder, `${i}.json`)
    writeFileSync(path, typeof content === 'string' ? content : JSON.stringify(content))
    return path
  })
  const [command, args] = inCleanEnvironment(resolve('bench/compare'), paths)
  // From any folder.
  return spawnSync(command, args, { encoding: 'utf8', cwd: folder })
}

t.test('bench/compare', async (t) => {
  const before = withRates([50_000, 51_000, 52_000])
  const slower = compare(t, before, withRates([40_000, 40_100, 40_200]))
  t.equal(slower.status, 1)
  t.match(
    slower.stdout,
    /slower +keepalive +native +requests +51,000 → 40,100 \/s +-21 % +1.27 → 1.00/,
  )
  t.match(
    slower.stdout,
    '1 of 4 figures are the same.\n2 of 4 figures have too few rounds to tell.',
  )
  const same = compare(t, before, before)
  t.equal(same.status, 0)
  t.match(same.stdout, /^2 of 4 figures are the same\.$/m)
})

t.test('bench/compare refuses what is no results.json, with one line', async (t) => {
  const good = exampleResults()
  for (const [content, message] of [
    ['{', /^can't read ".*0.json": .*; give the results.json of a run\n$/],
    ['[]', /^.*0.json is no results.json of this version: it must be object\n$/],
    [
      { ...good, rounds: 'many' },
      /0.json is no results.json of this version: \/rounds must be number\n$/,
    ],
  ] as const) {
    const { status, stderr, stdout } = compare(t, content, good)
    t.equal(status, 2)
    t.match(stderr, message)
    t.equal(stdout, '')
  }
  const nothing = compare(t, { ...good, scenarios: [] }, good)
  t.equal(nothing.status, 2)
  t.match(nothing.stderr, 'the two have nothing of ours in common')
})
