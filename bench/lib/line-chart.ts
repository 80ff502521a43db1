import { escapeHtml } from './html.js'
import { formatNumber } from './number.js'
import type { ScenarioResult } from './results.js'

/** Pixels. */
const WIDTH = 720
const HEIGHT = 320
const PLOT = { left: 64, right: WIDTH - 150, top: 34, bottom: HEIGHT - 46 }
const LABEL_HEIGHT = 15
/** Lines are told apart by their names at the end; ours are drawn stronger. */
const STYLE = `
  text { font: 12px system-ui, sans-serif; fill: #444 }
  .title { font-size: 14px; font-weight: 600; fill: #111 }
  .grid { stroke: #ddd }
  .line { fill: none; stroke: #8a8f98; stroke-width: 1.5 }
  .dot { fill: #8a8f98 }
  .ours.line { stroke: #0b6bcb; stroke-width: 3 }
  .ours.dot { fill: #0b6bcb }
  text.ours { fill: #0b6bcb; font-weight: 600 }
  @media (prefers-color-scheme: dark) {
    text { fill: #bbb } .title { fill: #eee } .grid { stroke: #3a3f47 }
    .ours.line { stroke: #5cb0ff } .ours.dot, text.ours { fill: #5cb0ff }
  }`

interface Line {
  readonly name: string
  readonly isOurs: boolean
  readonly points: readonly { readonly x: number; readonly value: number }[]
}

/**
 * A scenario's curve, as an SVG that stands by itself: a line for each peer, with its name at the end. Values stand on a
 * logarithmic scale.
 * @returns undefined where there is no curve, or nothing was measured for it
 */
export function lineChart(scenario: ScenarioResult, ours: readonly string[]): string | undefined {
  const { curve } = scenario
  if (!curve) return undefined
  const lines = linesOf(scenario, ours)
  const values = lines.flatMap(({ points }) => points.map(({ value }) => value))
  if (values.length === 0) return undefined
  const ticks = logTicks(Math.min(...values), Math.max(...values))
  const [low = 1, high = 10] = [ticks[0], ticks.at(-1)]
  const step = (PLOT.right - PLOT.left) / Math.max(1, curve.points.length - 1)
  const atX = (index: number): number => PLOT.left + index * step
  const share = (value: number): number => Math.log(value / low) / Math.log(high / low)
  const atY = (value: number): number => PLOT.bottom - share(value) * (PLOT.bottom - PLOT.top)

  const grid = ticks.map(
    (tick) =>
      `<line class="grid" x1="${PLOT.left}" x2="${PLOT.right}" y1="${atY(tick)}" y2="${atY(tick)}"/>` +
      text(PLOT.left - 8, atY(tick) + 4, formatNumber(tick), 'end'),
  )
  const labels = curve.points.map(({ x }, i) =>
    text(atX(i), PLOT.bottom + 18, typeof x === 'number' ? x.toLocaleString('en-US') : x, 'middle'),
  )
  const drawn = lines.map(({ points, isOurs }) => {
    const own = isOurs ? 'ours ' : ''
    const path = points.map(({ x, value }) => `${atX(x)},${atY(value).toFixed(1)}`)
    const dots = points.map(({ x, value }) => {
      const title = `<title>${formatNumber(value)} ${escapeHtml(curve.unit)}</title>`
      return `<circle class="${own}dot" cx="${atX(x)}" cy="${atY(value).toFixed(1)}" r="3">${title}</circle>`
    })
    return `<polyline class="${own}line" points="${path.join(' ')}"/>${dots.join('')}`
  })
  const ends = lines.map(({ points }) => atY(points.at(-1)?.value ?? low))
  const names = spreadOut(ends, LABEL_HEIGHT).map((y, i) => {
    const { name = '', isOurs = false, points = [] } = lines[i] ?? {}
    const last = points.at(-1)
    const label = `${name} ${formatNumber(last?.value)}`
    return text(atX(last?.x ?? 0) + 8, y + 4, label, 'start', isOurs ? 'ours' : '')
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

function linesOf({ curve, rows }: ScenarioResult, ours: readonly string[]): Line[] {
  return rows
    .map(({ peer, values }) => ({
      name: peer,
      isOurs: ours.includes(peer),
      points: (curve?.points ?? []).flatMap(({ key }, x) => {
        const value = values[key]?.median
        return value !== undefined && value > 0 ? [{ x, value }] : []
      }),
    }))
    .filter(({ points }) => points.length > 0)
}

/** Round values around a range, each two or two and a half times the one before. */
export function logTicks(low: number, high: number): number[] {
  const steps = [1, 2, 5]
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); ; power++) {
    for (const step of steps) {
      const tick = step * 10 ** power
      // The last of those below the range is where it begins.
      if (tick <= low) ticks.length = 0
      ticks.push(tick)
      if (tick >= high && ticks.length > 1) return ticks
    }
  }
}

/** Moves what would stand on top of each other apart, as little as need be. */
export function spreadOut(places: readonly number[], distance: number): number[] {
  const order = places.map((place, index) => ({ place, index })).sort((a, b) => a.place - b.place)
  // From the middle outwards would be nicer; downwards is enough, and then back up as far as it went too far.
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
