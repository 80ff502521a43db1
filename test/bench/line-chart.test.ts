import t from 'tap'
import { lineChart, logTicks, placesOf, spreadOut } from '../../bench/lib/line-chart.js'
import { exampleResults } from '../lib/example-results.js'

t.test('ticks are round, and the values lie between the first and the last', async (t) => {
  t.same(logTicks(3, 40), [2, 5, 10, 20, 50])
  t.same(logTicks(1, 1), [1, 2])
  t.same(logTicks(10, 100), [10, 20, 50, 100])
  for (const [low, high] of [
    [0.003, 0.9],
    [49, 5_171],
    [7, 7],
  ] as const) {
    const ticks = logTicks(low, high)
    t.ok((ticks[0] ?? Infinity) <= low && (ticks.at(-1) ?? 0) >= high, `${low} to ${high}`)
  }
})

t.test('names that would stand on each other are moved apart', async (t) => {
  t.same(spreadOut([10, 100, 50], 15), [10, 100, 50])
  t.same(spreadOut([50, 50, 52], 15), [50, 65, 80])
  const low = spreadOut([270, 272], 15)
  t.ok((low[1] ?? 0) - (low[0] ?? 0) >= 15)
  t.ok(Math.max(...low) <= 274, 'and stay in the picture')
})

t.test('a line for each peer that was measured, with its name at the end', async (t) => {
  const [, idle] = exampleResults().scenarios
  if (!idle) throw new Error('the example has it')
  const svg = lineChart(idle, ['native']) ?? ''
  t.equal(svg.match(/<polyline/g)?.length, 2)
  t.match(svg, /class="ours line"/)
  t.match(svg, />docker-proxy 42.0</)
  t.match(svg, />native 11.0</)
  t.match(svg, />3,000</)
  t.notMatch(svg, 'broken', 'what failed has no line')
})

t.test('no chart where there is nothing to draw', async (t) => {
  const [keepalive, idle] = exampleResults().scenarios
  if (!keepalive || !idle) throw new Error('the example has both')
  t.equal(lineChart(keepalive, []), undefined)
  t.equal(lineChart({ ...idle, rows: [] }, []), undefined)
})

t.test('numbers stand by their size, a 0 first; others at equal steps', async (t) => {
  const [zero = 0, one = 0, ten = 0, hundred = 0, thousand = 0] = placesOf([0, 1, 10, 100, 1_000])
  t.ok(zero < one && one < ten)
  t.ok(Math.abs(hundred - ten - (thousand - hundred)) < 1)
  const [a = 0, b = 0, c = 0] = placesOf(['p50', 'p90', 'p99'])
  t.equal(b - a, c - b)
})
