import { formatTable } from '../../src/cli/table.js'
import { formatNumber, formatRatio } from './number.js'
import { BASES } from './peers/index.js'
import type { Figure, Row, ScenarioResult, Value } from './results.js'

const SPREAD_OF = 2

/** With more figures beside the first than these, their ratios would make the table too wide. */
const MAX_WITH_RATIOS = 3

interface Column {
  readonly head: string
  readonly cell: (row: Row) => string
}

/** A scenario's results for a terminal: the first figure with its spread and its ratios, the others beside it. */
export function formatScenario({ title, load, figures, rows }: ScenarioResult): string {
  const [main, ...others] = figures
  if (!main) return ''
  const isNarrow = others.length <= MAX_WITH_RATIOS
  const all: Column[] = [
    { head: heading(main), cell: ({ values }) => formatNumber(values[main.key]?.median) },
    { head: 'SPREAD', cell: ({ values }) => spread(values[main.key]) },
    ...BASES.map((base) => ({
      head: `× ${base.toUpperCase()}`,
      cell: ({ values }: Row) => formatRatio(values[main.key]?.ratios[base]),
    })),
    ...others.map((figure) => ({
      head: heading(figure),
      cell: ({ values }: Row) => (isNarrow ? withRatio : withoutRatio)(values[figure.key]),
    })),
  ]
  const columns = all.filter(({ cell }) => rows.some((row) => !['', '-'].includes(cell(row))))
  const head = ['PEER', ...columns.map((column) => column.head)]
  const body = rows.map((row) => [row.peer, ...columns.map(({ cell }) => cell(row))])
  const failures = rows.filter(hasFailed).map(({ peer, failure }) => `${peer} failed: ${failure}`)
  return [`${title} · ${load}`, formatTable(head, alignRight(head, body)), ...failures].join('\n')
}

function hasFailed(row: Row): row is Row & { failure: string } {
  return row.failure !== undefined
}

function heading({ title, unit }: Figure): string {
  const gap = unit.startsWith('/') || unit === '' ? '' : ' '
  return `${title.toUpperCase()}${gap}${unit}`
}

function spread(value: Value | undefined): string {
  if (!value || value.rounds.length < SPREAD_OF) return ''
  const share = (value.high - value.low) / 2 / Math.abs(value.median)
  const text = Number.isFinite(share) ? `±${Math.round(share * 100)} %` : ''
  return value.noisy ? `${text} noisy` : text
}

function withRatio(value: Value | undefined): string {
  const ratio = value?.ratios['docker-proxy']
  const number = formatNumber(value?.median)
  return ratio === undefined ? number : `${number} (${formatRatio(ratio)})`
}

function withoutRatio(value: Value | undefined): string {
  return formatNumber(value?.median)
}

/** All columns but the first hold numbers. */
function alignRight(head: readonly string[], rows: readonly string[][]): string[][] {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  return rows.map((row) => row.map((cell, i) => (i === 0 ? cell : cell.padStart(widths[i] ?? 0))))
}
