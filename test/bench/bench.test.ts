import { spawn, type ChildProcess } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmodSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { text } from 'node:stream/consumers'
import { Value } from 'typebox/value'
import t, { type Test } from 'tap'
import { family } from '../../bench/lib/accounting.js'
import { PEERS } from '../../bench/lib/peers/index.js'
import { Results } from '../../bench/lib/results.js'
import { SCENARIOS } from '../../bench/lib/scenarios/index.js'
import { inCleanEnvironment, missing, PROGRAM } from '../lib/program.js'

const SCRIPT = resolve('scripts/bench.sh')
const isCi = process.env['CI'] !== undefined

interface Bench {
  readonly child: ChildProcess
  readonly stdout: Promise<string>
  readonly stderr: Promise<string>
  readonly exit: Promise<number | null>
  readonly folder: string
  results(): Results
  /** Processes that it has left. */
  leftOvers(): string[]
}

/** Starts the benchmark as `npm run bench` does, in a process group of its own as a shell would. */
function startBench(
  t: Test,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
  folder = t.testdir(),
): Bench {
  const mark = `BENCH_MARK=${randomUUID()}`
  const [command, commandArgs] = inCleanEnvironment(
    'sh',
    [SCRIPT, 'bench/bench.ts', '--out', folder, ...args],
    { ...env, BENCH_MARK: mark.split('=')[1] },
  )
  const child = spawn(command, commandArgs, { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  const exit = once(child, 'exit').then(([code]) => code as number | null)
  t.teardown(async () => {
    if (child.exitCode === null) child.kill('SIGTERM')
    await exit
  })
  return {
    child,
    stdout: text(child.stdout),
    stderr: text(child.stderr),
    exit,
    folder,
    results: () => {
      const value: unknown = JSON.parse(readFileSync(join(folder, 'results.json'), 'utf8'))
      t.same([...Value.Errors(Results, value)], [], 'results.json is as documented')
      return value as Results
    },
    leftOvers: () => processesWith(mark),
  }
}

function processesWith(variable: string): string[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0').includes(variable)
      } catch {
        return false // It has ended meanwhile.
      }
    })
}

function processTitle(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
  } catch {
    return '' // As above.
  }
}

t.test('each scenario runs, and brings every figure', { timeout: 200_000 }, async (t) => {
  const bench = startBench(t, ['--quick', '--peers', 'native'])
  t.equal(await bench.exit, 0)
  const { scenarios, leftOut } = bench.results()
  if (isCi) t.same(leftOut, [])
  const names = SCENARIOS.map(({ name }) => name).filter(
    (name) => !leftOut.some((out) => out.name === name),
  )
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
      if (key === 'cpu') continue // Where there is little to do, it can't be told.
      const value = rows[0]?.values[key]
      t.ok(value && (value.median > 0 || key === 'lost'), `${name}: ${key}`)
    }
  }
  t.match(readFileSync(join(bench.folder, 'report.html'), 'utf8'), '</html>')
  t.ok(existsSync(join(bench.folder, 'idle.svg')))
  t.same(bench.leftOvers(), [])
})

t.test(
  'each peer works, or is named with the package that brings it',
  { timeout: 120_000 },
  async (t) => {
    const bench = startBench(t, ['--quick', '--only', 'latency,udp'])
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

t.test('a peer that dies is reported, and not averaged in', async (t) => {
  // It is there for the check and the warm-up.
  const folder = t.testdir({ dies: `#!/bin/sh\nexec timeout --signal=KILL 3.5 ${PROGRAM} "$@"\n` })
  const program = join(folder, 'dies')
  chmodSync(program, 0o755)
  const bench = startBench(
    t,
    ['--rounds', '3', '--only', 'latency', '--peers', 'direct,docker-proxy'],
    { ORIGINAL: program },
    folder,
  )
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

t.test('results that have no place are told before anything is measured', async (t) => {
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

t.test('one that does not forward is told at once', async (t) => {
  const bench = startBench(t, ['--quick', '--only', 'latency', '--peers', 'docker-proxy'], {
    ORIGINAL: '/bin/false',
  })
  t.equal(await bench.exit, 0)
  t.match(bench.results().scenarios[0]?.rows, [{ values: {}, failure: 'it ended with status 1' }])
})

t.test('Ctrl-C keeps what was measured, and leaves no process', async (t) => {
  const bench = startBench(t, ['--rounds', '3', '--only', 'start-up,latency', '--peers', 'native'])
  let told = ''
  bench.child.stderr?.on('data', (chunk: Buffer) => (told += chunk.toString()))
  while (!told.includes('2 of 2')) await once(bench.child.stderr ?? t, 'data')
  // To all of the foreground, as a terminal does.
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
    [['--only', 'speed'], '--only "speed": use some of keepalive, close, bulk, keepalive-wrk, '],
    [
      ['--peers', 'docker-proxy,squid'],
      '--peers "squid": use some of direct, docker-proxy, native, ',
    ],
    [['--peers', ''], '--peers "": use some of '],
    [['--rounds', '0'], '--rounds 0: use a whole number from 1 to 1000'],
    [['--rounds', 'many'], '--rounds NaN: use a whole number from 1 to 1000'],
    [['--seconds', '0.1'], '--seconds 0.1: use a whole number from 1 to 3600'],
    [['--seconds', '1e9'], '--seconds 1000000000: use a whole number from 1 to 3600'],
    [['--out='], '--out "": name a folder'],
    [['--fast'], 'Unknown argument: fast'],
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
