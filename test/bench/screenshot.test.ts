import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { chromium } from 'playwright-core'
import t from 'tap'
import { formatReport } from '../../bench/lib/report.js'
import { exampleResults } from '../lib/example-results.js'
import { missing } from '../lib/program.js'

const CHROMIUM = '/usr/bin/chromium'
/** It must look up no name and connect to nothing. */
const QUIET = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]
const WIDTHS = [1_200, 400]

/** Runs in the page: finds elements that are cut off or overlap. */
const FIND_FAULTS = `(() => {
  const faults = []
  const width = document.documentElement.clientWidth
  if (document.documentElement.scrollWidth > width) faults.push('the page is wider than the window')
  for (const each of document.querySelectorAll('.bar > *, h1, h2, h3, p')) {
    if (each.getBoundingClientRect().right > width) faults.push('cut off: ' + each.textContent)
    const isBlock = getComputedStyle(each).display !== 'inline'
    if (isBlock && each.scrollWidth > each.clientWidth + 1) {
      faults.push('too long for its place: ' + each.textContent)
    }
  }
  for (const chart of document.querySelectorAll('svg')) {
    const frame = chart.getBoundingClientRect()
    const texts = [...chart.querySelectorAll('text')]
    for (const [i, one] of texts.entries()) {
      const a = one.getBoundingClientRect()
      if (a.left < frame.left || a.right > frame.right) faults.push('cut off: ' + one.textContent)
      for (const other of texts.slice(i + 1)) {
        const b = other.getBoundingClientRect()
        const isBeside = a.left >= b.right || b.left >= a.right
        const isAbove = a.top >= b.bottom - 3 || b.top >= a.bottom - 3
        if (!isBeside && !isAbove) faults.push(one.textContent + ' stands on ' + other.textContent)
      }
    }
  }
  return faults
})()`

t.test(
  'the report reads well, wide and narrow, by day and by night',
  { skip: missing(CHROMIUM, 'chromium') },
  async (t) => {
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: QUIET })
    t.teardown(() => browser.close())
    const folder = t.testdir()
    const path = join(folder, 'report.html')
    writeFileSync(path, formatReport(exampleResults()))
    const pages = new Set<string>()
    for (const width of WIDTHS) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme })
        await page.goto(`file://${path}`)
        t.same(await page.evaluate(FIND_FAULTS), [], `${width} pixels, ${colorScheme}`)
        const image = await page.screenshot({ fullPage: true })
        pages.add(image.toString('base64'))
        await page.close()
      }
    }
    t.equal(pages.size, WIDTHS.length * 2, 'each looks different')
  },
)
