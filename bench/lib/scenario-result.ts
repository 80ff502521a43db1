import { BASES } from './bases.js'
import type { Figure, Row, ScenarioResult, Value } from './results.js'
import type { Figures, Scenario, Traffic } from './scenario.js'
import { summarize } from './statistics.js'

/** The figures of a peer, or why it was excluded. */
export interface Measured {
  readonly peer: { readonly name: string }
  readonly rounds: readonly Figures[]
  readonly failure?: string
}

/** Summarises the rounds of a scenario. */
export function scenarioResult(scenario: Scenario, all: readonly Measured[]): ScenarioResult {
  const figures = [
    ...scenario.figures,
    ...(scenario.kind === 'traffic' ? usageFigures(scenario) : []),
  ]
  const { name, title, load, curve } = scenario
  return {
    name,
    title,
    load,
    figures,
    ...(curve ? { curve: { ...curve, points: curve.points.map(([x, key]) => ({ x, key })) } } : {}),
    rows: withRatios(all.map((each) => rowOf(each, figures))),
  }
}

function usageFigures({ cost }: Traffic): Figure[] {
  return [
    { key: 'cpu', title: 'processor', unit: cost.unit, better: 'less' },
    { key: 'peak', title: 'resident memory', unit: 'MiB', better: 'less' },
  ]
}

function rowOf({ peer, rounds, failure }: Measured, figures: readonly Figure[]): Row {
  if (failure !== undefined) return { peer: peer.name, values: {}, failure }
  const values: Record<string, Value> = {}
  for (const { key } of figures) {
    const brought = rounds.map((round) => round[key]).filter((value) => value !== undefined)
    if (brought.length > 0) values[key] = { rounds: brought, ...summarize(brought), ratios: {} }
  }
  return { peer: peer.name, values }
}

/** Adds the ratios of the medians to those of the bases. */
function withRatios(rows: readonly Row[]): Row[] {
  return rows.map((row) => {
    const values = Object.entries(row.values).map(([key, value]) => {
      const ratios: Record<string, number> = {}
      for (const base of BASES) {
        const of = rows.find(({ peer }) => peer === base)?.values[key]?.median
        if (of) ratios[base] = value.median / of
      }
      return [key, { ...value, ratios }] as const
    })
    return { ...row, values: Object.fromEntries(values) }
  })
}
