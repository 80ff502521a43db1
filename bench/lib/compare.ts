import { formatTable } from '../../src/cli/table.js'
import { BASES } from './bases.js'
import { formatNumber, formatRatio } from './number.js'
import type { Figure, Results, ScenarioResult, Value } from './results.js'
import { middleHalf } from './statistics.js'

/** A smaller change does not count, even if it is significant. */
const MIN_CHANGE = 0.05
/** The spread of fewer rounds says nothing. */
const MIN_ROUNDS = 3
/** Memory does not depend on the speed of the machine. */
const SIZES = ['KiB', 'MiB']

/** How a figure of one of our engines has changed, or that it is missing now. */
export interface Change {
  readonly scenario: string
  readonly peer: string
  readonly figure: Figure
  readonly before: Value
  readonly after?: Value
  /** As multiples of docker-proxy's figure in the same run, if both runs have one. */
  readonly ratios?: readonly [before: number, after: number]
  /** The relative growth; Infinity if the figure was 0 before. */
  readonly change: number
  readonly verdict: 'failed' | 'slower' | 'faster' | 'same' | 'too noisy' | 'too few rounds'
}

/** The median of the rounds, and the quartiles. */
type Range = ReturnType<typeof middleHalf>

/** Compares each earlier figure of our engines whose scenario was run again. */
export function compareResults(before: Results, after: Results): Change[] {
  const ours = before.peers.filter(({ isOurs }) => isOurs).map(({ name }) => name)
  const again = after.peers.map(({ name }) => name)
  return after.scenarios.flatMap((is) => {
    const was = before.scenarios.find(({ name }) => name === is.name)
    if (!was) return []
    return ours
      .filter((peer) => again.includes(peer))
      .flatMap((peer) => was.figures.flatMap((figure) => changeOf(peer, figure, was, is) ?? []))
  })
}

function changeOf(
  peer: string,
  figure: Figure,
  was: ScenarioResult,
  is: ScenarioResult,
): Change | undefined {
  const [before, after] = [was, is].map((scenario) => valueOf(scenario, peer, figure))
  if (!before) return undefined
  const common = { scenario: is.name, peer, figure, before }
  if (!after) {
    const failed = is.rows.some((row) => row.peer === peer && row.failure !== undefined)
    return failed ? { ...common, change: NaN, verdict: 'failed' } : undefined
  }
  const [from, to, isBased] = comparable(figure, before, after, [was, is])
  const change = from.median === to.median ? 0 : to.median / from.median - 1
  const enough = [before, after].every(({ rounds }) => rounds.length >= MIN_ROUNDS)
  const verdict = enough ? verdictOf(figure, from, to, change) : 'too few rounds'
  const based = isBased ? { ratios: [from.median, to.median] as const } : {}
  return { ...common, after, change, verdict, ...based }
}

function verdictOf(figure: Figure, from: Range, to: Range, change: number): Change['verdict'] {
  if (Math.abs(change) < MIN_CHANGE) return 'same'
  // Uses the quartiles, so that one outlier neither hides a change nor makes one up.
  if (to.low <= from.high && to.high >= from.low) return 'too noisy'
  const isMore = figure.better === 'more' ? change > 0 : change < 0
  return isMore ? 'faster' : 'slower'
}

function valueOf({ rows }: ScenarioResult, peer: string, figure: Figure): Value | undefined {
  return rows.find((row) => row.peer === peer)?.values[figure.key]
}

/** Both as multiples of docker-proxy's figure in the same run, if there is one: the speed of the machine varies. */
function comparable(
  figure: Figure,
  before: Value,
  after: Value,
  scenarios: readonly ScenarioResult[],
): [Range, Range, boolean] {
  const [was, is] = scenarios.map((scenario) => valueOf(scenario, BASES[0], figure))
  const from = was && ratios(before, was)
  const to = is && ratios(after, is)
  if (SIZES.includes(figure.unit) || !from || !to) {
    return [middleHalf(before.rounds), middleHalf(after.rounds), false]
  }
  return [from, to, true]
}

/** Divides round by round, because both were measured one after the other in each round. */
function ratios({ rounds }: Value, base: Value): Range | undefined {
  if (base.rounds.length !== rounds.length || base.low <= 0) return undefined
  return middleHalf(rounds.map((value, i) => value / (base.rounds[i] ?? NaN)))
}

/** Whether anything is worse now. */
export function isWorse(changes: readonly Change[]): boolean {
  return changes.some(({ verdict }) => verdict === 'slower' || verdict === 'failed')
}

/** Describes changes that are only counted. */
const REST: Partial<Record<Change['verdict'], string>> = {
  same: 'are the same',
  'too noisy': 'differ, but no more than their rounds do among themselves',
  'too few rounds': 'have too few rounds to tell',
}

/** Lists what only one of the runs has of our engines. */
export function notInBoth(before: Results, after: Results): string[] {
  const namesOf = ({ peers, scenarios }: Results): string[] => [
    ...peers.filter(({ isOurs }) => isOurs).map(({ name }) => `the peer ${name}`),
    ...scenarios.map(({ name }) => `the scenario ${name}`),
  ]
  const [old, fresh] = [namesOf(before), namesOf(after)]
  return [
    ...old.filter((name) => !fresh.includes(name)).map((name) => `${name} was not measured again`),
    ...fresh.filter((name) => !old.includes(name)).map((name) => `${name} is new`),
  ]
}

/** Lists what failed, got slower or got faster, and by how much. */
export function formatChanges(changes: readonly Change[]): string {
  const reported = (['failed', 'slower', 'faster'] as const).flatMap((verdict) =>
    changes.filter((change) => change.verdict === verdict),
  )
  const rest = Object.entries(REST).flatMap(([verdict, what]) => {
    const count = changes.filter((change) => change.verdict === verdict).length
    return count > 0 ? [`${count} of ${changes.length} figures ${what}.`] : []
  })
  if (reported.length === 0) return rest.join('\n')
  const head = ['', 'SCENARIO', 'PEER', 'FIGURE', 'BEFORE → AFTER', 'CHANGE']
  const base = `× ${BASES[0].toUpperCase()}`
  const table = formatTable([...head, base], reported.map(rowOf))
  return [table, ...(rest.length > 0 ? ['', ...rest] : [])].join('\n')
}

function rowOf({ scenario, peer, figure, before, after, change, ratios, verdict }: Change) {
  return [
    verdict,
    scenario,
    peer,
    figure.title,
    after
      ? `${formatNumber(before.median)} → ${formatNumber(after.median)} ${figure.unit}`
      : `${formatNumber(before.median)} ${figure.unit} → failed`,
    Number.isFinite(change) ? `${change > 0 ? '+' : ''}${Math.round(change * 100)} %` : '',
    ratios ? ratios.map(formatRatio).join(' → ') : '',
  ]
}
