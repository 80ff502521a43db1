import { formatTable } from '../../src/cli/table.js'
import { BASES } from './bases.js'
import { formatNumber, formatRatio } from './number.js'
import type { Figure, Row, ScenarioResult, Value } from './results.js'

const SPREAD_OF = 2

/** With more figures beside the first, the ratios would make the table too wide. */
const MAX_WITH_RATIOS = 3

interface Column {
  readonly head: string
  readonly cell: (row: Row) => string
}

/**
 * Formats a scenario's results for a terminal: the first figure with its spread and ratios, the others beside it, or below
 * it if there is no room.
 * @param width of the terminal, characters
 */
export function formatScenario(scenario: ScenarioResult, width = Infinity): string {
  const { title, load, rows } = scenario
  const failures = rows.filter(hasFailed).map(({ peer, failure }) => `${peer} failed: ${failure}`)
  const measured = rows.filter(({ values }) => Object.keys(values).length > 0)
  const columns = columnsOf(scenario).filter(({ cell }) =>
    measured.some((row) => !['', '-'].includes(cell(row))),
  )
  const tables: string[] = []
  for (let from = 0; from < columns.length;) {
    let to = columns.length
    // There is at least one column.
    while (to > from + 1 && widthOf(tableOf(columns.slice(from, to), rows)) > width) to--
    tables.push(tableOf(columns.slice(from, to), rows))
    from = to
  }
  return [...wrap(`${title} · ${load}`, width), ...tables, ...failures].join('\n')
}

/** As lines that fit the width of the terminal. */
function wrap(text: string, width: number): string[] {
  const lines: string[] = []
  for (const word of text.split(' ')) {
    const longer = [...lines.slice(-1), word].join(' ')
    if (lines.length > 0 && longer.length <= width) lines[lines.length - 1] = longer
    else lines.push(word)
  }
  return lines
}

function columnsOf({ figures }: ScenarioResult): Column[] {
  const [main, ...others] = figures
  if (!main) return []
  const isNarrow = others.length <= MAX_WITH_RATIOS
  return [
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
}

function tableOf(columns: readonly Column[], rows: readonly Row[]): string {
  const head = ['PEER', ...columns.map((column) => column.head)]
  const body = rows.map((row) => [row.peer, ...columns.map(({ cell }) => cell(row))])
  return formatTable(head, alignRight(head, body))
}

function widthOf(table: string): number {
  return Math.max(...table.split('\n').map((line) => line.length))
}

function hasFailed(row: Row): row is Row & { failure: string } {
  return row.failure !== undefined
}

function heading({ title, unit }: Figure): string {
  const gap = unit.startsWith('/') || unit === '' ? '' : ' '
  return `${title.toUpperCase()}${gap}${unit}`
}

function spread(value: Value | undefined): string {
  if (!value) return ''
  if (value.rounds.length < SPREAD_OF) return 'one round'
  const share = (value.high - value.low) / 2 / Math.abs(value.median)
  const text = Number.isFinite(share) ? `±${Math.round(share * 100)} %` : ''
  return value.noisy ? `${text} noisy` : text
}

function withRatio(value: Value | undefined): string {
  const ratio = value?.ratios[BASES[0]]
  const number = formatNumber(value?.median)
  return ratio === undefined ? number : `${number} (${formatRatio(ratio)})`
}

function withoutRatio(value: Value | undefined): string {
  return formatNumber(value?.median)
}

/** All columns except the first hold numbers. */
function alignRight(head: readonly string[], rows: readonly string[][]): string[][] {
  const widths = head.map((title, i) =>
    Math.max(title.length, ...rows.map((row) => row[i]?.length ?? 0)),
  )
  return rows.map((row) => row.map((cell, i) => (i === 0 ? cell : cell.padStart(widths[i] ?? 0))))
}
