import { escapeHtml } from './html.js'
import { formatNumber } from './number.js'
import type { ScenarioResult } from './results.js'

/** Pixels. */
const WIDTH = 720
const HEIGHT = 320
const PLOT = { left: 64, right: WIDTH - 160, top: 34, bottom: HEIGHT - 46 }
const LABEL_HEIGHT = 15
/** Distance of names from the ends of their lines. */
const NAME_GAP = 22
/** Room for each label below the axis. */
const MIN_LABEL_GAP = 34
/** Other projects' lines differ by dashes and tones, in addition to their names. */
const DASHES = ['', '7 3', '2 3', '9 3 2 3', '4 2', '12 4']
const TONES = 3
/** A style inside an SVG applies to the whole page, so each rule names the SVG. */
const STYLE = `
  svg text { font: 12px system-ui, sans-serif; fill: #444 }
  svg .title { font-size: 14px; font-weight: 600; fill: #111 }
  svg .grid { stroke: #ddd }
  svg .line { fill: none; stroke: var(--tone); stroke-width: 1.5 }
  svg .leader { stroke: var(--tone); stroke-width: 0.75 }
  svg .dot, svg .end { fill: var(--tone) }
  svg .tone0 { --tone: #6b7280 } svg .tone1 { --tone: #9a5b13 } svg .tone2 { --tone: #2d7d5a }
  svg .ours { --tone: #0b6bcb; font-weight: 600 } svg .ours.line { stroke-width: 3 }
  @media (prefers-color-scheme: dark) {
    svg text { fill: #bbb } svg .title { fill: #eee } svg .grid { stroke: #3a3f47 } svg .end { fill: var(--tone) }
    svg .tone0 { --tone: #9aa3af } svg .tone1 { --tone: #e0a458 } svg .tone2 { --tone: #6fd0a5 } svg .ours { --tone: #5cb0ff }
  }`

interface Line {
  readonly name: string
  /** Classes that set its colour. */
  readonly tone: string
  readonly dash: string
  readonly points: readonly { readonly x: number; readonly value: number }[]
}

/**
 * Draws a scenario's curve as a standalone SVG: a line for each peer, with its name at the end. Values are on a
 * logarithmic scale, and so are numbers along the axis, with room for 0.
 * @returns undefined if the scenario has no curve, or nothing was measured for it
 */
export function lineChart(scenario: ScenarioResult, ours: readonly string[]): string | undefined {
  const { curve } = scenario
  if (!curve) return undefined
  const places = placesOf(curve.points.map(({ x }) => x))
  const lines = linesOf(scenario, places, ours)
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value))
  if (values.length === 0) return undefined
  const ticks = logTicks(Math.min(...values), Math.max(...values))
  const [low = 1, high = 10] = [ticks[0], ticks.at(-1)]
  const share = (value: number): number => Math.log(value / low) / Math.log(high / low)
  const atY = (value: number): number => PLOT.bottom - share(value) * (PLOT.bottom - PLOT.top)

  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${atY(tick)}" y2="${atY(tick)}"/>` +
      text(PLOT.left - 8, atY(tick) + 4, formatNumber(tick), 'end'),
  )
  let lastLabel = -Infinity
  const labels = curve.points.map(({ x }, i) => {
    const place = places[i] ?? 0
    const isCrowded = place - lastLabel < MIN_LABEL_GAP
    if (!isCrowded) lastLabel = place
    const label = typeof x === 'number' ? x.toLocaleString('en-US') : x
    return isCrowded ? '' : text(place, PLOT.bottom + 18, label, 'middle')
  })
  const drawn = lines.map(({ points, tone, dash }) => {
    const path = points.map(({ x, value }) => `${x.toFixed(1)},${atY(value).toFixed(1)}`)
    const dots = points.map(({ x, value }) => {
      const title = `<title>${formatNumber(value)} ${escapeHtml(curve.unit)}</title>`
      return `<circle class="${tone} dot" cx="${x.toFixed(1)}" cy="${atY(value).toFixed(1)}" r="3">${title}</circle>`
    })
    const dashes = dash ? ` stroke-dasharray="${dash}"` : ''
    return `<polyline class="${tone} line"${dashes} points="${path.join(' ')}"/>${dots.join('')}`
  })
  const ends = lines.map(({ points }) => atY(points.at(-1)?.value ?? low))
  const names = spreadOut(ends, LABEL_HEIGHT).map((y, i) => {
    const { name = '', tone = '', points = [] } = lines[i] ?? {}
    const { x = 0, value = low } = points.at(-1) ?? {}
    const leader = `<line class="${tone} leader" x1="${(x + 4).toFixed(1)}" y1="${atY(value).toFixed(1)}" x2="${(x + NAME_GAP - 3).toFixed(1)}" y2="${y.toFixed(1)}"/>`
    return (
      leader + text(x + NAME_GAP, y + 4, `${name} ${formatNumber(value)}`, 'start', `${tone} end`)
    )
  })
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(curve.title)}">
<style>${STYLE}
</style>
${text(PLOT.left - 44, 18, `${curve.title}, ${curve.unit}`, 'start', 'title')}
${[...grid, ...labels, ...drawn, ...names].join('\n')}
${text((PLOT.left + PLOT.right) / 2, HEIGHT - 8, curve.xTitle, 'middle')}
</svg>
`
}

/** Positions along the axis: numbers by their size, other values at equal steps. */
export function placesOf(all: readonly (number | string)[]): number[] {
  const numbers = all.filter((x) => typeof x === 'number')
  const smallest = Math.min(...numbers.filter((x) => x > 0))
  // Logarithmic, but linear down to 0 near the smallest value.
  const at =
    numbers.length === all.length ? numbers.map((x) => Math.asinh(x / smallest)) : [...all.keys()]
  const [first = 0, last = 0] = [at[0], at.at(-1)]
  return at.map(
    (each) => PLOT.left + ((each - first) / (last - first || 1)) * (PLOT.right - PLOT.left),
  )
}

function linesOf(
  { curve, rows }: ScenarioResult,
  places: readonly number[],
  ours: readonly string[],
): Line[] {
  let others = 0
  return rows
    .map(({ peer, values }) => {
      const isOurs = ours.includes(peer)
      const number = isOurs ? ours.indexOf(peer) : others++
      return {
        name: peer,
        tone: isOurs ? 'ours' : `tone${number % TONES}`,
        dash: DASHES[number % DASHES.length] ?? '',
        points: (curve?.points ?? []).flatMap(({ key }, i) => {
          const value = values[key]?.median
          return value !== undefined && value > 0 ? [{ x: places[i] ?? 0, value }] : []
        }),
      }
    })
    .filter(({ points }) => points.length > 0)
}

/** Round values around a range, each 2 or 2.5 times the one before. */
export function logTicks(low: number, high: number): number[] {
  const steps = [1, 2, 5]
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); ; power++) {
    for (const step of steps) {
      const tick = step * 10 ** power
      // The axis begins at the last value below the range.
      if (tick <= low) ticks.length = 0
      ticks.push(tick)
      if (tick >= high && ticks.length > 1) return ticks
    }
  }
}

/** Moves labels apart that would overlap, as little as possible. */
export function spreadOut(places: readonly number[], distance: number): number[] {
  const order = places.map((place, index) => ({ place, index })).sort((a, b) => a.place - b.place)
  // Downwards first, and then back up as far as it went too far.
  for (let i = 1; i < order.length; i++) {
    const [above, here] = [order[i - 1], order[i]]
    if (above && here) here.place = Math.max(here.place, above.place + distance)
  }
  const over = Math.max(0, (order.at(-1)?.place ?? 0) - PLOT.bottom)
  for (const each of order) each.place -= over
  return order.sort((a, b) => a.index - b.index).map(({ place }) => place)
}

function text(x: number, y: number, content: string, anchor: string, style = ''): string {
  const own = style ? ` class="${style}"` : ''
  return `<text${own} x="${x.toFixed(1)}" y="${y.toFixed(1)}" text-anchor="${anchor}">${escapeHtml(content)}</text>`
}
