import { formatTable } from '../../src/cli/table.js'
import { formatNumber } from './number.js'
import type { Figure, Results, Value } from './results.js'

/** A change that is smaller than this is none, though the rounds lie apart. */
const MIN_CHANGE = 0.05

/** How a figure of one of our engines has changed. */
export interface Change {
  readonly scenario: string
  readonly peer: string
  readonly figure: Figure
  readonly before: Value
  readonly after: Value
  /** How much more it is now, as a share; what the machine did to docker-proxy's own figure is taken out where that was measured both times. */
  readonly change: number
  readonly verdict: 'slower' | 'faster' | 'same'
}

/** Every figure of our engines that was measured both times. */
export function compareResults(before: Results, after: Results): Change[] {
  const ours = after.peers.filter(({ isOurs }) => isOurs).map(({ name }) => name)
  return after.scenarios.flatMap((scenario) => {
    const old = before.scenarios.find(({ name }) => name === scenario.name)
    return ours.flatMap((peer) =>
      scenario.figures.flatMap((figure) => {
        const [was, is] = [old, scenario].map(
          (each) => each?.rows.find((row) => row.peer === peer)?.values[figure.key],
        )
        return was && is ? [changeOf(scenario.name, peer, figure, was, is)] : []
      }),
    )
  })
}

function changeOf(
  scenario: string,
  peer: string,
  figure: Figure,
  before: Value,
  after: Value,
): Change {
  const [was, is] = comparable(before, after)
  const change = is.median / was.median - 1
  const isApart = is.low > was.high || is.high < was.low
  const isMore = figure.better === 'more' ? change > 0 : change < 0
  const verdict =
    !isApart || !(Math.abs(change) >= MIN_CHANGE) ? 'same' : isMore ? 'faster' : 'slower'
  return { scenario, peer, figure, before, after, change, verdict }
}

type Range = Pick<Value, 'low' | 'median' | 'high'>

/** Both as multiples of docker-proxy's figure of their run, where there is one: the same machine is not as fast at all times. */
function comparable(before: Value, after: Value): [Range, Range] {
  const bases = [before, after].map(
    ({ median, ratios }) => median / (ratios['docker-proxy'] ?? NaN),
  )
  const [of = NaN, to = NaN] = bases
  const isBased = of > 0 && to > 0 && Number.isFinite(of) && Number.isFinite(to)
  const scale = ({ low, median, high }: Value, by: number): Range => ({
    low: low / by,
    median: median / by,
    high: high / by,
  })
  return isBased ? [scale(before, of), scale(after, to)] : [before, after]
}

/** What got slower, and what faster, by how much. */
export function formatChanges(changes: readonly Change[]): string {
  const told = changes.filter(({ verdict }) => verdict !== 'same')
  const same = changes.length - told.length
  const rest = `${same} of ${changes.length} figures are the same within their spread.`
  if (told.length === 0) return rest
  const rows = told
    .toSorted((a, b) => Number(b.verdict === 'slower') - Number(a.verdict === 'slower'))
    .map(({ scenario, peer, figure, before, after, change, verdict }) => [
      verdict,
      scenario,
      peer,
      figure.title,
      `${formatNumber(before.median)} → ${formatNumber(after.median)} ${figure.unit}`,
      `${change > 0 ? '+' : ''}${Math.round(change * 100)} %`,
    ])
  return `${formatTable(['', 'SCENARIO', 'PEER', 'FIGURE', 'BEFORE → AFTER', 'CHANGE'], rows)}\n\n${rest}`
}
