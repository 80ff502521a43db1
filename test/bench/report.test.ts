import t from 'tap'
import { formatReport } from '../../bench/lib/report.js'
import { formatScenario } from '../../bench/lib/table.js'
import { exampleResults } from '../lib/example-results.js'

t.test('the page has every peer with its figures, and stands by itself', async (t) => {
  const page = formatReport(exampleResults())
  t.match(page, 'Some &lt;fast&gt; &amp; quiet one')
  t.match(page, /<b>51,000<\/b><\/span><span class="ratio">1.27</)
  t.match(
    page,
    /<b>4,000<\/b><\/span><span class="ratio">0.80<\/span><span class="soft note">noisy</,
  )
  t.match(page, 'broken: it ended by SIGKILL, in round 2')
  t.match(page, 'haproxy was left out: /usr/sbin/haproxy is missing')
  t.match(page, '<polyline class="ours line"')
  t.match(page, 'As multiples of docker-proxy')
  t.match(page, 'prefers-color-scheme: dark')
  t.notMatch(page, /<(script|link|img)|src=|url\(|NaN|undefined/)
  for (const tag of ['div', 'span', 'table', 'tr', 'td', 'p', 'section', 'svg', 'h2', 'h3']) {
    const opened = page.match(new RegExp(`<${tag}[ >]`, 'g'))?.length
    t.equal(page.match(new RegExp(`</${tag}>`, 'g'))?.length, opened, `each <${tag}> is closed`)
  }
})

t.test('the best bar comes first', async (t) => {
  const page = formatReport(exampleResults())
  const [, bars = ''] = page.split('<h3>requests')
  t.ok(bars.indexOf('>native<') < bars.indexOf('>docker-proxy<'))
  const [, p99 = ''] = page.split('<h3>p99')
  t.ok(p99.indexOf('>native<') < p99.indexOf('>docker-proxy<'))
})

t.test('a run that was interrupted says so, also with nothing in it', async (t) => {
  const results = { ...exampleResults(), interrupted: true, scenarios: [] }
  t.match(formatReport(results), 'The run was interrupted')
})

t.test(
  'where the original is missing, no proxy at all is what the others are compared with',
  async (t) => {
    const results = exampleResults()
    for (const { rows } of results.scenarios) {
      for (const row of rows) {
        if (row.peer === 'docker-proxy') row.peer = 'direct'
        for (const value of Object.values(row.values)) {
          value.ratios = { direct: value.ratios['docker-proxy'] ?? 0 }
        }
      }
    }
    t.match(formatReport(results), /As multiples of direct[^]*>1.27</)
  },
)

t.test("the terminal's table", async (t) => {
  const [keepalive] = exampleResults().scenarios
  if (!keepalive) throw new Error('the example has it')
  t.equal(
    formatScenario(keepalive),
    `HTTP keep-alive · autocannon, 64 connections
PEER           REQUESTS/s   SPREAD   × DOCKER-PROXY   P99 µs
docker-proxy       40,000     ±3 %             1.00   5,000 (1.00)
native             51,000     ±2 %             1.27   4,000 (0.80)
broken                  -                         -              -
broken failed: it ended by SIGKILL, in round 2`,
  )
})

t.test('a table that is wider than the terminal goes on below', async (t) => {
  const [keepalive] = exampleResults().scenarios
  if (!keepalive) throw new Error('the example has it')
  const text = formatScenario(keepalive, 60)
  t.ok(text.split('\n').every((line) => line.length <= 60))
  t.equal(text.match(/^PEER/gm)?.length, 2)
})

t.test('what nobody brought has no table', async (t) => {
  const [keepalive] = exampleResults().scenarios
  if (!keepalive) throw new Error('the example has it')
  const rows = keepalive.rows.filter(({ failure }) => failure !== undefined)
  t.equal(
    formatScenario({ ...keepalive, rows }),
    'HTTP keep-alive · autocannon, 64 connections\nbroken failed: it ended by SIGKILL, in round 2',
  )
})
