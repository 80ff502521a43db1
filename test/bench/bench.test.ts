import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { family } from '../../bench/lib/accounting.js'
import { native } from '../../bench/lib/peers/docker-proxy.js'
import { PEERS } from '../../bench/lib/peers/index.js'
import { Results } from '../../bench/lib/results.js'
import { SCENARIOS } from '../../bench/lib/scenarios/index.js'
import { startBench, type Bench } from '../lib/bench.js'
import { listeningPort } from '../lib/proc.js'
import { missing, PROGRAM } from '../lib/program.js'

const isCi = process.env['CI'] !== undefined

function listens(pid: number): boolean {
  try {
    return listeningPort(pid) > 0
  } catch {
    return false
  }
}

function processTitle(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // As above.
  }
}

t.test('each scenario runs, and brings every figure', { timeout: 200_000 }, async (t) => {
  // A dockerd would disturb that of test/e2e/dockerd.test.ts.
  const all = SCENARIOS.filter(
    (each) => each.name !== 'dockerd' && each.suits?.(native) !== false,
  ).map(({ name }) => name)
  const bench = startBench(t, ['--quick', '--peers', 'native', '--only', all.join(',')])
  t.equal(await bench.exit, 0)
  const { scenarios, leftOut } = bench.results()
  if (isCi) t.same(leftOut, [])
  const names = all.filter((name) => !leftOut.some((out) => out.name === name))
  t.same(
    scenarios.map(({ name }) => name),
    names,
  )
  const stdout = await bench.stdout
  for (const { name, title, figures, rows } of scenarios) {
    t.equal(rows.length, 1, name)
    t.equal(rows[0]?.failure, undefined, name)
    t.match(stdout, title)
    for (const { key } of figures) {
      if (key.endsWith('1000') && name === 'ports') continue // It is left out of a short run.
      if (key === 'cpu') continue // With little work it can't be measured.
      const value = rows[0]?.values[key]
      t.ok(value && (value.median > 0 || key === 'lost'), `${name}: ${key}`)
    }
  }
  t.match(readFileSync(join(bench.folder, 'report.html'), 'utf8'), '</html>')
  t.ok(existsSync(join(bench.folder, 'idle.svg')))
  t.same(bench.leftOvers(), [])
})

t.test('each path is measured, and named', async (t) => {
  for (const [args, path] of [
    [['--path', 'loopback'], { name: 'loopback' }],
    [['--client', 'host', '--congestion', 'reno'], { name: 'bridge', congestionControl: 'reno' }],
  ] as const) {
    const scenarios = ['--only', 'latency,bulk1,udp', '--peers', 'direct,native,dnat']
    const bench = startBench(t, ['--quick', ...scenarios, ...args])
    t.equal(await bench.exit, 0)
    const results = bench.results()
    t.match(results.path, path)
    for (const { name, rows } of results.scenarios) {
      for (const { peer, failure } of rows) t.equal(failure, undefined, `${name}, ${peer}`)
    }
  }
})

t.test('ports of docker-proxyd are measured with the process that they share', async (t) => {
  const only = 'start-up,idle,keepalive-8-ports,workers,ports,api'
  const bench = startBench(t, ['--quick', '--only', only, '--peers', 'docker-proxyd'])
  t.equal(await bench.exit, 0)
  const rows = bench.results().scenarios.flatMap((scenario) => scenario.rows)
  t.equal(rows.length, 6)
  t.same(
    rows.filter(({ failure }) => failure !== undefined),
    [],
  )
  t.ok(
    rows.some(({ values }) => (values['memory1']?.median ?? 0) > 10),
    'Node is among it',
  )
  t.same(bench.leftOvers(), [])
})

t.test(
  'each peer works, or is named with the package that brings it',
  { timeout: 300_000 },
  async (t) => {
    const bench = startBench(t, ['--quick', '--only', 'keepalive,udp'])
    t.equal(await bench.exit, 0)
    const { scenarios, peers, leftOut } = bench.results()
    if (isCi) t.same(leftOut, [])
    t.same(
      [...peers, ...leftOut].map(({ name }) => name).sort(),
      PEERS.map(({ name }) => name).sort(),
    )
    for (const { rows } of scenarios)
      t.same(
        rows.filter(({ failure }) => failure !== undefined),
        [],
      )
    for (const { version } of peers) t.match(version, /^\d+\.\d+/)
    t.same(
      scenarios[0]?.rows.map(({ peer }) => peer),
      peers.map(({ name }) => name),
    )
  },
)

/** Sends a signal to the docker-proxy of a benchmark when a measurement begins, of which `--verbose` tells. */
function signalAt(bench: Bench, measurement: string, signal: NodeJS.Signals): void {
  let told = ''
  const look = (chunk: Buffer): void => {
    told += chunk.toString()
    if (!told.includes(`: ${measurement}\n`)) return
    bench.child.stderr?.off('data', look)
    for (const pid of family(bench.child.pid ?? 0))
      if (processTitle(pid).includes('-host-port')) process.kill(pid, signal)
  }
  bench.child.stderr?.on('data', look)
}

t.test('a peer that dies is reported, and not averaged in', async (t) => {
  const bench = startBench(
    t,
    ['--verbose', '--rounds', '3', '--only', 'latency', '--peers', 'direct,docker-proxy'],
    { ORIGINAL: PROGRAM },
  )
  signalAt(bench, 'latency, docker-proxy, round 1', 'SIGKILL')
  t.equal(await bench.exit, 0)
  const [direct, dead] = bench.results().scenarios[0]?.rows ?? []
  t.equal(direct?.values['p50']?.rounds.length, 3)
  t.same(direct?.values['p50']?.ratios, { direct: 1 })
  t.match(dead, { values: {}, failure: /^it ended (by SIGKILL|with status 137), in round \d$/ })
  t.match(await bench.stdout, 'docker-proxy failed: it ended')
})

const noNginx = missing('/usr/lib/nginx/modules/ngx_stream_module.so', 'libnginx-mod-stream')
t.test(
  'one whose workers end is reported, though it starts others',
  { skip: noNginx },
  async (t) => {
    const bench = startBench(t, ['--rounds', '3', '--only', 'latency', '--peers', 'nginx'])
    const kills = setInterval(() => {
      for (const pid of family(bench.child.pid ?? 0)) {
        if (processTitle(pid).startsWith('nginx: worker')) process.kill(pid, 'SIGKILL')
      }
    }, 100)
    t.teardown(() => clearInterval(kills))
    t.equal(await bench.exit, 0)
    const [row] = bench.results().scenarios[0]?.rows ?? []
    t.same(row?.values, {})
    t.ok(row?.failure)
    t.same(bench.leftOvers(), [])
  },
)

t.test('one that never says that it is ready, or stalls, is waited for no longer', async (t) => {
  const folder = t.testdir({ sleeps: '#!/bin/sh\nexec sleep 1000\n' })
  const sleeps = join(folder, 'sleeps')
  chmodSync(sleeps, 0o755)
  for (const [name, program, only] of [
    ['sleeps', sleeps, 'start-up'],
    ['stalls', PROGRAM, 'fair'],
  ] as const) {
    const bench = startBench(
      t,
      ['--verbose', '--rounds', '9', '--only', only, '--peers', 'docker-proxy'],
      { ORIGINAL: program, BENCH_PATIENCE: '5' },
      folder,
    )
    // It works during the check and the warm-up, and stops answering in a round.
    signalAt(bench, 'fair, docker-proxy, round 1', 'SIGSTOP')
    t.equal(await bench.exit, 0)
    const [row] = bench.results().scenarios[0]?.rows ?? []
    t.match(row, { values: {}, failure: /^it was not over after \d+ s, in round \d$/ }, name)
    t.same(bench.leftOvers(), [])
  }
})

t.test(
  'a docker-proxyd that dies is reported, and its launchers do not stand in for it',
  async (t) => {
    const bench = startBench(t, [
      '--rounds',
      '3',
      '--only',
      'keepalive',
      '--peers',
      'docker-proxyd',
    ])
    let isKilled = false
    const look = setInterval(() => {
      const [proxyd] = family(bench.child.pid ?? 0).filter((pid) =>
        processTitle(pid).includes('docker-proxyd\0--run-dir'),
      )
      if (proxyd === undefined || isKilled || !listens(proxyd)) return
      isKilled = true
      process.kill(proxyd, 'SIGKILL')
    }, 50)
    t.teardown(() => clearInterval(look))
    t.equal(await bench.exit, 0)
    const [row] = bench.results().scenarios[0]?.rows ?? []
    t.match(row, {
      values: {},
      failure: /^(the process that serves it ended by SIGKILL|it ended with status 2)/,
    })
    t.same(bench.leftOvers(), [])
  },
)

t.test('a run that brings nothing leaves the results that are there', async (t) => {
  const bench = startBench(t, ['--quick', '--only', 'start-up', '--peers', 'native'])
  t.equal(await bench.exit, 0)
  const { date } = bench.results()
  const again = startBench(
    t,
    ['--quick', '--only', 'latency', '--peers', 'native'],
    {},
    bench.folder,
  )
  await once(again.child.stderr ?? t, 'data')
  process.kill(-(again.child.pid ?? 0), 'SIGINT')
  t.equal(await again.exit, 130)
  t.match(await again.stderr, /Interrupted: nothing was measured\n$/)
  t.equal(bench.results().date, date)
  t.same(readdirSync(bench.folder).sort(), ['report.html', 'results.json'])
})

t.test('an unwritable results folder is reported before anything is measured', async (t) => {
  const folder = join(t.testdir({ file: '' }), 'file')
  const bench = startBench(t, ['--quick'], {}, folder)
  t.equal(await bench.exit, 1)
  t.equal(
    await bench.stderr,
    `can't write results to "${folder}": file exists; name another folder with --out\n`,
  )
})

t.test('a peer that is not here is left out, and the others go on', async (t) => {
  const bench = startBench(t, ['--quick', '--only', 'start-up', '--peers', 'docker-proxy,native'], {
    ORIGINAL: '/nowhere/docker-proxy',
  })
  t.equal(await bench.exit, 0)
  const reason = '/nowhere/docker-proxy is missing: install docker.io (apt-get install docker.io)'
  t.match(await bench.stderr, `docker-proxy is left out: ${reason}\n`)
  const { leftOut, scenarios } = bench.results()
  t.same(leftOut, [{ name: 'docker-proxy', reason }])
  t.same(
    scenarios[0]?.rows.map(({ peer }) => peer),
    ['native'],
  )
})

t.test('a peer that does not forward is reported at once', async (t) => {
  const bench = startBench(t, ['--quick', '--only', 'latency', '--peers', 'docker-proxy'], {
    ORIGINAL: '/bin/false',
  })
  t.equal(await bench.exit, 0)
  t.match(bench.results().scenarios[0]?.rows, [{ values: {}, failure: 'it ended with status 1' }])
})

t.test('Ctrl-C keeps the results so far, and leaves no process', async (t) => {
  const bench = startBench(t, ['--rounds', '3', '--only', 'start-up,latency', '--peers', 'native'])
  let stderr = ''
  bench.child.stderr?.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  while (!stderr.includes('2 of 2')) await once(bench.child.stderr ?? t, 'data')
  // To the whole foreground process group, as a terminal does.
  process.kill(-(bench.child.pid ?? 0), 'SIGINT')
  t.equal(await bench.exit, 130)
  t.same(bench.leftOvers(), [])
  const results = bench.results()
  t.equal(results.interrupted, true)
  t.ok(results.scenarios.some(({ rows }) => rows[0]?.failure === undefined))
  t.match(
    await bench.stderr,
    /Interrupted: what was measured is in .*results.json and .*report.html\n$/,
  )
})

t.test('options that can not be followed are refused with one line', async (t) => {
  for (const [args, message] of [
    [
      ['--only', 'speed'],
      '--only "speed": use some of keepalive, close, bulk, sustained, keepalive-wrk, ',
    ],
    [
      ['--peers', 'docker-proxy,squid'],
      '--peers "squid": use some of direct, docker-proxy, native, ',
    ],
    [['--peers', ''], '--peers "": use some of '],
    [['--rounds', '0'], '--rounds 0: use a whole number from 1 to 1000'],
    [['--seconds', '0.1'], '--seconds 0.1: use a number from 0.5 to 3600'],
    [['--rounds', '3', '--rounds', '0'], '--rounds 0: use a whole number from 1 to 1000'],
    [['--rounds', 'x'], '--rounds x: use a whole number from 1 to 1000'],
    [['--seconds', '1e9'], '--seconds 1e9: use a number from 0.5 to 3600'],
    [['--out='], '--out "": name a folder'],
    [['--quick=maybe'], '--quick=maybe: use --quick, or leave it out'],
    [['--verbose=maybe'], '--verbose=maybe: use --verbose, or leave it out'],
    [['--only'], '--only needs a value: see --help'],
    [['--fast'], 'Unknown argument: fast'],
    [['--path', 'wan'], '--path "wan": use some of bridge, loopback'],
    [['--path', 'loopback', '--client', 'host'], '--client: it is for --path bridge'],
    [['--path', 'bridge', '--client', 'moon'], '--client "moon": use some of outside, host'],
    [['--path', 'bridge', '--congestion', 'x'], '--congestion "x": use some of '],
  ] as const) {
    const bench = startBench(t, args)
    t.equal(await bench.exit, 2)
    const stderr = await bench.stderr
    t.match(stderr, message)
    t.equal(stderr.trimEnd().split('\n').length, 1)
    t.equal(await bench.stdout, '')
  }
})

t.test('the schema of results.json in docs/ is the one that holds', async (t) => {
  const documented: unknown = JSON.parse(readFileSync('docs/bench-results.schema.json', 'utf8'))
  t.same(documented, JSON.parse(JSON.stringify(Results)))
})
