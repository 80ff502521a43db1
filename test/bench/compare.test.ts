import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import t, { type Test } from 'tap'
import { compareResults } from '../../bench/lib/compare.js'
import type { Results } from '../../bench/lib/results.js'
import { exampleResults, exampleValue } from '../lib/example-results.js'
import { inCleanEnvironment } from '../lib/program.js'

/** The example, with other rounds of requests for our engine, and for the original. */
function withRates(native: number[], base = 40_000): Results {
  const results = exampleResults()
  const rows = results.scenarios[0]?.rows ?? []
  for (const row of rows) {
    if (row.peer === 'native') row.values['rate'] = exampleValue(native, base)
    if (row.peer === 'docker-proxy') row.values['rate'] = exampleValue([base], base)
  }
  return results
}

const rateOf = (before: Results, after: Results) =>
  compareResults(before, after).find(
    ({ scenario, figure }) => scenario === 'keepalive' && figure.key === 'rate',
  )

t.test('slower is what lies apart, and by how much', async (t) => {
  const before = withRates([50_000, 51_000, 52_000])
  t.match(rateOf(before, before), { verdict: 'same', change: 0 })
  t.match(rateOf(before, withRates([41_000, 40_800, 42_000])), {
    verdict: 'slower',
    peer: 'native',
  })
  t.match(rateOf(before, withRates([61_000, 61_200, 62_000])), { verdict: 'faster' })
  t.match(rateOf(before, withRates([44_000, 46_000, 50_500])), { verdict: 'same' }, 'they overlap')
  t.match(rateOf(before, withRates([49_500, 49_600, 49_700])), { verdict: 'same' }, 'too little')
})

t.test('of latency more is slower', async (t) => {
  const after = exampleResults()
  const native = after.scenarios[0]?.rows.find(({ peer }) => peer === 'native')
  if (native) native.values['p99'] = exampleValue([9_000, 9_100, 9_200], 5_000)
  const changes = compareResults(exampleResults(), after)
  t.match(
    changes.filter(({ verdict }) => verdict !== 'same'),
    [{ figure: { key: 'p99' }, verdict: 'slower' }],
  )
})

t.test('a machine that is slower as a whole makes nobody slower', async (t) => {
  const before = withRates([50_000, 51_000, 52_000])
  t.match(rateOf(before, withRates([25_000, 25_500, 26_000], 20_000)), { verdict: 'same' })
  t.match(rateOf(before, withRates([50_000, 51_000, 52_000], 80_000)), { verdict: 'slower' })
})

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
  t.match(slower.stdout, /slower +keepalive +native +requests +51,000 → 40,100 \/s +-21 %/)
  t.match(slower.stdout, '3 of 4 figures are the same within their spread.')
  const same = compare(t, before, before)
  t.equal(same.status, 0)
  t.equal(same.stdout, '4 of 4 figures are the same within their spread.\n')
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
