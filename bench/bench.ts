import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import yargs from 'yargs'
import { describeMachine, describeTools } from './lib/machine.js'
import { PEERS } from './lib/peers/index.js'
import type { Peer } from './lib/peer.js'
import { removeBundlesAtEnd, ROOT } from './lib/places.js'
import { Progress, formatSeconds } from './lib/progress.js'
import { lineChart } from './lib/line-chart.js'
import { formatReport } from './lib/report.js'
import type { LeftOut, Results } from './lib/results.js'
import { Rounds } from './lib/rounds.js'
import type { Scenario } from './lib/scenario.js'
import { SCENARIOS } from './lib/scenarios/index.js'
import { formatScenario } from './lib/table.js'

/*
 * Every proxy that is on this machine, with the same work for each, side by side.
 */

const QUICK = { rounds: 1, seconds: 1 }
const THOROUGH = { rounds: 3, seconds: 1 }
const INTERRUPTED = 130
const BAD_USAGE = 2

interface Options {
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly Peer[]
  readonly rounds: number
  readonly seconds: number
  readonly quick: boolean
  readonly out: string
}

function parseOptions(args: readonly string[]): Options {
  const list = (value: string | string[]): string[] =>
    [value].flat().flatMap((names) => names.split(',').filter((name) => name !== ''))
  const names = SCENARIOS.map(({ name }) => name)
  const groups = SCENARIOS.flatMap(({ group }) => (group === undefined ? [] : [group]))
  const known = [...new Set([...groups, ...names])]
  const peers = PEERS.map(({ name }) => name)
  const values = yargs(args)
    .scriptName('npm run bench --')
    .usage('$0 [options]\n\nMeasures every proxy on this machine, with the same work for each.')
    .option('quick', {
      type: 'boolean',
      default: false,
      describe: 'one round of each, and no 1,000 ports',
    })
    .option('only', {
      type: 'string',
      requiresArg: true,
      coerce: list,
      describe: `some of ${known.join(', ')}`,
    })
    .option('peers', {
      type: 'string',
      requiresArg: true,
      coerce: list,
      describe: `some of ${peers.join(', ')}`,
    })
    .option('rounds', {
      type: 'number',
      requiresArg: true,
      describe: `rounds that count [${THOROUGH.rounds}]`,
    })
    .option('seconds', {
      type: 'number',
      requiresArg: true,
      describe: `of a round of traffic [${THOROUGH.seconds}]`,
    })
    .option('out', {
      type: 'string',
      requiresArg: true,
      default: 'bench-results',
      describe: 'folder for results.json and report.html',
    })
    .check(({ only, peers: chosen, rounds, seconds }) => {
      expectSome('--only', only, known)
      expectSome('--peers', chosen, peers)
      expectNumber(
        '--rounds',
        rounds,
        Number.isInteger(rounds) && (rounds ?? 0) >= 1,
        'a whole number from 1',
      )
      expectNumber('--seconds', seconds, (seconds ?? 0) >= 1, 'a number from 1')
      return true
    })
    .strict()
    .demandCommand(0, 0, '', 'there are only options here')
    .version(false)
    .alias('help', 'h')
    .wrap(null)
    .fail((message, err) => {
      console.error(message || err.message)
      process.exit(BAD_USAGE)
    })
    .parseSync()
  const { rounds, seconds } = values.quick ? QUICK : THOROUGH
  return {
    scenarios: SCENARIOS.filter(
      ({ name, group }) => values.only?.some((each) => each === name || each === group) ?? true,
    ),
    peers: PEERS.filter(({ name }) => values.peers?.includes(name) ?? true),
    rounds: values.rounds ?? rounds,
    seconds: values.seconds ?? seconds,
    quick: values.quick,
    out: resolve(ROOT, values.out),
  }
}

function expectSome(
  option: string,
  given: readonly string[] | undefined,
  known: readonly string[],
): void {
  if (given === undefined) return
  const unknown = given.find((name) => !known.includes(name))
  if (unknown === undefined && given.length > 0) return
  throw new Error(`${option} ${JSON.stringify(unknown ?? '')}: use some of ${known.join(', ')}`)
}

function expectNumber(
  option: string,
  given: number | undefined,
  isRight: boolean,
  what: string,
): void {
  if (given !== undefined && !isRight) throw new Error(`${option} ${given}: use ${what}`)
}

/** Those that can be measured here, and why the others can't. */
function present<T extends Peer | Scenario>(all: readonly T[], leftOut: LeftOut[]): T[] {
  return all.filter((each) => {
    const reason = each.missing()
    if (reason === undefined) return true
    leftOut.push({ name: each.name, reason })
    return false
  })
}

/** @returns the files that people read */
function writeResults(folder: string, results: Results): string[] {
  const files = {
    'results.json': `${JSON.stringify(results, null, 2)}\n`,
    'report.html': formatReport(results),
  }
  const ours = results.peers.filter(({ isOurs }) => isOurs).map(({ name }) => name)
  for (const scenario of results.scenarios) {
    const chart = lineChart(scenario, ours)
    if (chart !== undefined) writeFileSync(join(folder, `${scenario.name}.svg`), chart)
  }
  return Object.entries(files).map(([name, text]) => {
    const path = join(folder, name)
    writeFileSync(path, text)
    return path
  })
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2))
  mkdirSync(options.out, { recursive: true })
  const leftOut: LeftOut[] = []
  const peers = present(options.peers, leftOut)
  const scenarios = present(options.scenarios, leftOut)
  for (const { name, reason } of leftOut) console.error(`${name} is left out: ${reason}`)

  const rounds = new Rounds({ ...options, isQuick: options.quick })
  const estimates = scenarios.map((scenario) => rounds.estimate(scenario, peers))
  const total = estimates.reduce((sum, seconds) => sum + seconds, 0)
  const isTerminal = process.stderr.isTTY
  const progress = new Progress(total, isTerminal, (text) => process.stderr.write(text))
  console.error(
    `This takes about ${formatSeconds(total)}; Ctrl-C ends it and keeps what was measured.`,
  )
  const interrupt = (): void => {
    if (rounds.isInterrupted) process.exit(INTERRUPTED) // Once more: at once.
    rounds.interrupt()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)

  const results: Results = {
    version: 1,
    date: new Date().toISOString(),
    machine: describeMachine(),
    tools: describeTools(),
    rounds: options.rounds,
    seconds: options.seconds,
    interrupted: false,
    peers: peers.map((peer) => ({
      name: peer.name,
      how: peer.how,
      version: peer.version(),
      isOurs: peer.isOurs ?? false,
    })),
    leftOut,
    scenarios: [],
  }
  try {
    for (const [index, scenario] of scenarios.entries()) {
      if (rounds.isInterrupted) break
      progress.start(scenario.name, index + 1, scenarios.length)
      const result = await rounds.measure(scenario, peers, progress)
      results.scenarios.push(result)
      progress.clear()
      console.log(`${formatScenario(result)}\n`)
    }
  } finally {
    await rounds.close()
  }
  results.interrupted = rounds.isInterrupted
  const written = writeResults(options.out, results)
  const what = results.interrupted ? 'Interrupted: what was measured is' : 'All of it is'
  console.error(`${what} in ${written.join(' and ')}`)
  process.exit(results.interrupted ? INTERRUPTED : 0)
}

removeBundlesAtEnd()
void main()
