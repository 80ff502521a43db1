import { BASES } from './bases.js'
import { escapeHtml } from './html.js'
import { lineChart } from './line-chart.js'
import { formatNumber, formatRatio } from './number.js'
import type { Figure, Results, Row, ScenarioResult } from './results.js'

/*
 * report.html: one file without any other, in the reader's light or dark colours.
 */

const STYLE = `
:root { color-scheme: light dark; --ink: #16181d; --soft: #5c636e; --line: #d9dde3; --page: #fff; --card: #f6f7f9;
  --bar: #aeb4bd; --ours: #0b6bcb; --good: #11723a; --bad: #b3261e }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --soft: #9aa3af; --line: #343a43; --page: #14171b; --card: #1c2026;
  --bar: #5d6570; --ours: #5cb0ff; --good: #6fd08c; --bad: #ff8a80 } }
body { margin: 0 auto; padding: 24px; max-width: 1080px; font: 15px/1.45 system-ui, sans-serif; color: var(--ink); background: var(--page) }
h1 { font-size: 26px; margin: 0 } h2 { font-size: 19px; margin: 40px 0 0 } h3 { font-size: 14px; margin: 0 0 8px; font-weight: 600 }
p { margin: 4px 0 } .soft { color: var(--soft) } .failure { color: var(--bad) }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 14px; margin-top: 12px }
.figure { background: var(--card); border-radius: 8px; padding: 12px 14px } .figure:first-child { grid-column: 1 / -1 }
.bar { display: grid; grid-template-columns: 124px 1fr 66px repeat(var(--bases), 56px) 44px; gap: 8px; align-items: center; min-height: 22px }
.bar.head { font-size: 11px; line-height: 1.2; color: var(--soft); align-items: end } .bar > :nth-child(n + 3) { text-align: right }
.bar.ours .name, .bar.ours .value b { color: var(--ours); font-weight: 600 }
.name { overflow-wrap: anywhere } .track { position: relative; height: 14px }
.fill { height: 100%; border-radius: 2px; background: var(--bar) } .ours .fill { background: var(--ours) }
.spread { position: absolute; top: 6px; height: 2px; background: var(--ink); min-width: 1px }
.spread::before, .spread::after { content: ''; position: absolute; top: -4px; width: 1px; height: 10px; background: var(--ink) }
.spread::after { right: 0 }
.value, .ratio { font-variant-numeric: tabular-nums; white-space: nowrap } .ratio { color: var(--soft) } .value b { font-weight: 500 }
.table { overflow-x: auto; padding-bottom: 4px; background: linear-gradient(90deg, transparent 60%, var(--card)) } table { border-collapse: collapse; margin-top: 12px; font-variant-numeric: tabular-nums }
th, td { padding: 5px 12px; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th { font-weight: 600 } th:first-child, td:first-child { text-align: left; white-space: normal; min-width: 130px } .better { color: var(--good) } .worse { color: var(--bad) }
td.ours, th.ours { font-weight: 600 } .left td { text-align: left; white-space: normal }
svg { width: 100%; max-width: 760px; margin-top: 14px }
td.noisy::after { content: ' ~'; color: var(--soft) }
@media (max-width: 560px) { body { padding: 14px } .bar { grid-template-columns: 84px 1fr 58px repeat(var(--bases), 44px); gap: 6px } .bar > .note { display: none } .bar.head { font-size: 9px }
  th, td { padding: 5px 7px } td:first-child { font-size: 13px } }
`

/** The whole page. */
export function formatReport(results: Results): string {
  const ours = results.peers.filter(({ isOurs }) => isOurs).map(({ name }) => name)
  const measured = results.scenarios.filter(({ rows }) => rows.length > 0)
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Proxies side by side, ${escapeHtml(results.date.slice(0, 10))}</title>
<style>${STYLE}</style>
</head>
<body>
<h1>Proxies of published ports, side by side</h1>
${intro(results)}
${overview(
  measured,
  results.peers.map(({ name }) => name),
  ours,
)}
${measured.map((scenario) => section(scenario, ours)).join('\n')}
${peersTable(results)}
</body>
</html>
`
}

/** The machine's connection tracking says nothing about a bridge, which has a network namespace of its own. */
function pathText(machine: Results['machine'], path: Results['path']): string {
  if (path?.name === 'bridge') return `${path.how}, ${path.congestionControl}`
  const how = path ? `${path.how}, ` : ''
  return `${how}${path?.congestionControl ?? machine.congestionControl}, connection tracking ${machine.connectionTracking ?? 'unknown'}`
}

function intro({ date, machine, path, tools, rounds, seconds, interrupted }: Results): string {
  const used = Object.entries(tools).map(([name, version]) => `${name} ${version}`)
  return [
    `${date.slice(0, 16).replace('T', ' ')} UTC · ${machine.processor}, ${machine.cores} cores, ${formatNumber(machine.memory / 1024)} GiB · Linux ${machine.kernel} · ${pathText(machine, path)} · ${machine.pinning}`,
    `medians of ${rounds} interleaved ${rounds === 1 ? 'round' : 'rounds'} of ${seconds} s; the thin line is from the lowest to the highest round · ${used.join(', ')}`,
    ...(interrupted ? ['The run was interrupted: what was measured until then is here.'] : []),
  ]
    .map((line) => `<p class="soft">${escapeHtml(line)}</p>`)
    .join('\n')
}

/** An overview: the first figures relative to Docker's docker-proxy, or to no proxy if that was not measured. */
function overview(
  scenarios: readonly ScenarioResult[],
  peers: readonly string[],
  ours: readonly string[],
): string {
  const hasIt = (base: string): boolean =>
    scenarios.some(({ rows }) => rows.some(({ peer, failure }) => peer === base && !failure))
  const base = BASES.find(hasIt)
  const shown = peers.filter((peer) => peer !== base)
  if (base === undefined || shown.length === 0) return ''
  const compared = scenarios.filter(({ rows }) => rows.some(({ peer }) => peer === base))
  const isOurs = (peer: string): string => (ours.includes(peer) ? ' class="ours"' : '')
  const head = shown.map((peer) => `<th${isOurs(peer)}>${escapeHtml(peer)}</th>`).join('')
  const body = compared.map((scenario) => {
    const main = mainFigure(scenario)
    if (!main) return ''
    const cells = shown.map((peer) => ratioCell(scenario, peer, main, base, ours.includes(peer)))
    const better = main.better === 'more' ? '' : ', less is better'
    const what = `${scenario.title}: ${main.title}`
    return `<tr><td>${escapeHtml(what)}<span class="soft">${better}</span></td>${cells.join('')}</tr>`
  })
  return `<h2>As multiples of ${base}</h2>
<p class="soft">~ marks what is noisy: half of its rounds lie more than an eighth of the median apart.</p>
<div class="table"><table><tr><th></th>${head}</tr>
${body.join('\n')}
</table></div>`
}

/** The first base that was measured: a short run leaves some out. */
function mainFigure({ figures, rows }: ScenarioResult): Figure | undefined {
  return figures.find(({ key }) => rows.some(({ values }) => values[key] !== undefined))
}

function ratioCell(
  { rows }: ScenarioResult,
  peer: string,
  figure: Figure,
  base: string,
  isOurs: boolean,
): string {
  const row = rows.find((each) => each.peer === peer)
  const value = row?.values[figure.key]
  const ratio = value?.ratios[base]
  const text = row?.failure === undefined ? formatRatio(ratio) : 'failed'
  const isBetter = ratio !== undefined && (figure.better === 'more' ? ratio > 1.05 : ratio < 0.95)
  const isWorse = ratio !== undefined && (figure.better === 'more' ? ratio < 0.95 : ratio > 1.05)
  const classes = [
    isOurs ? 'ours' : '',
    isBetter ? 'better' : '',
    isWorse ? 'worse' : '',
    ratio !== undefined && value?.noisy ? 'noisy' : '',
  ]
  return `<td class="${classes.filter(Boolean).join(' ')}">${text}</td>`
}

function section(scenario: ScenarioResult, ours: readonly string[]): string {
  const failures = scenario.rows
    .filter(({ failure }) => failure !== undefined)
    .map(({ peer, failure = '' }) => `<p class="failure">${escapeHtml(`${peer}: ${failure}`)}</p>`)
  const inCurve = scenario.curve?.points.map(({ key }) => key) ?? []
  const bars = scenario.figures
    // A figure that the curve shows is left out, except the first.
    .filter(({ key }, i) => i === 0 || !inCurve.includes(key))
    .map((figure) => barChart(figure, scenario.rows, ours))
  return `<section>
<h2>${escapeHtml(scenario.title)}</h2>
<p class="soft">${escapeHtml(scenario.load)}</p>
${failures.join('\n')}
<div class="figures">${bars.join('\n')}</div>
${lineChart(scenario, ours) ?? ''}
</section>`
}

/** A bar for each peer with its name and value, the best first. */
function barChart(figure: Figure, rows: readonly Row[], ours: readonly string[]): string {
  const bars = rows
    .flatMap(({ peer, values }) => {
      const value = values[figure.key]
      return value ? [{ peer, ...value }] : []
    })
    .sort((a, b) => (figure.better === 'more' ? b.median - a.median : a.median - b.median))
  if (bars.length === 0) return ''
  const top = Math.max(...bars.map(({ high }) => high)) || 1
  const percent = (value: number): string => `${((value / top) * 100).toFixed(2)}%`
  const bases = BASES.filter((base) => bars.some(({ ratios }) => ratios[base] !== undefined))
  const heads = bases.map((base) => `<span>×&nbsp;${base}</span>`).join('')
  const drawn = bars.map(({ peer, median, low, high, noisy, rounds, ratios }) => {
    const compared = bases.map((base) => `<span class="ratio">${formatRatio(ratios[base])}</span>`)
    const spread =
      rounds.length > 1
        ? `<div class="spread" style="left:${percent(low)};width:${percent(high - low)}"></div>`
        : ''
    const title = `${peer}: ${rounds.map(formatNumber).join(', ')} ${figure.unit}`
    return `<div class="bar${ours.includes(peer) ? ' ours' : ''}" title="${escapeHtml(title)}"><span class="name">${escapeHtml(peer)}</span><div class="track"><div class="fill" style="width:${percent(median)}"></div>${spread}</div><span class="value"><b>${formatNumber(median)}</b></span>${compared.join('')}<span class="soft note">${noisy ? 'noisy' : ''}</span></div>`
  })
  const unit =
    figure.unit === '' ? '' : `, ${figure.unit.replace(/^\//, 'per ').replace('per s', 'a second')}`
  const better = figure.better === 'more' ? 'more is better' : 'less is better'
  const head =
    heads && `<div class="bar head"><span></span><span></span><span></span>${heads}</div>`
  return `<div class="figure" style="--bases: ${Math.max(1, bases.length)}"><h3>${escapeHtml(figure.title + unit)} <span class="soft">· ${better}</span></h3>${head}${drawn.join('')}</div>`
}

function peersTable({ peers, leftOut }: Results): string {
  const rows = peers.map(
    ({ name, how, version }) =>
      `<tr><td>${escapeHtml(name)}</td><td>${escapeHtml(how)}</td><td>${escapeHtml(version)}</td></tr>`,
  )
  const missing = leftOut.map(
    ({ name, reason }) => `<p class="soft">${escapeHtml(`${name} was left out: ${reason}`)}</p>`,
  )
  return `<h2>Who is who</h2>
<div class="table"><table class="left">${rows.join('\n')}</table></div>
${missing.join('\n')}`
}
