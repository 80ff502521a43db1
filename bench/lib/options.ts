import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import yargs from 'yargs'
import { bridgePath, LOOPBACK, missingBridge, type NetworkPath } from './network-path.js'
import type { Peer } from './peer.js'
import { PEERS } from './peers/index.js'
import { ROOT } from './places.js'
import type { Scenario } from './scenario.js'
import { SCENARIOS } from './scenarios/index.js'

const QUICK = { rounds: 1, seconds: 0.5 }
const THOROUGH = { rounds: 3, seconds: 0.5 }
const MAX_ROUNDS = 1_000
/** The shortest round, seconds. In less, the processor time says little, see `isMeasurable`. */
const MIN_SECONDS = 0.5
const MAX_SECONDS = 3_600

const PATHS = ['bridge', 'loopback']
const CLIENTS = ['outside', 'host']

export interface Options {
  readonly scenarios: readonly Scenario[]
  readonly peers: readonly Peer[]
  /** Rounds that count. */
  readonly rounds: number
  /** Whether the number of rounds was given: then it applies to slow scenarios as well. */
  readonly insists: boolean
  /** Length of a round, seconds. */
  readonly seconds: number
  /** Whether slow scenarios are left out. */
  readonly isQuick: boolean
  /** Whether each measurement is a line of the progress, on a terminal as well. */
  readonly isVerbose: boolean
  readonly path: NetworkPath
  /** Folder of the results. */
  readonly out: string
}

/**
 * @param args the arguments, without the program
 * @param refuse receives one line about arguments that are wrong
 */
export function parseOptions(args: readonly string[], refuse: (message: string) => never): Options {
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
      describe: 'one round of each without a warm-up, and no 1,000 ports',
    })
    .option('verbose', {
      type: 'boolean',
      default: false,
      describe: 'a line for each measurement instead of a bar',
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
    // As text: yargs would turn two numbers into an array.
    .option('rounds', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: `rounds that count [${THOROUGH.rounds}; 1 of what takes long]`,
    })
    .option('seconds', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: `of a round of traffic [${THOROUGH.seconds}]`,
    })
    .option('path', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: `of the traffic: ${PATHS.join(' or ')} [bridge, where root makes one]`,
    })
    .option('client', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: `where the load is on a bridge: ${CLIENTS.join(' or ')} [outside]`,
    })
    .option('congestion', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: "congestion control on a bridge, for example cubic [this machine's]",
    })
    .option('out', {
      type: 'string',
      requiresArg: true,
      coerce: last<string>,
      describe: 'folder for results.json and report.html [bench-results]',
    })
    .check(({ only, peers: chosen, rounds, seconds, path, client, congestion, out }) => {
      for (const flag of ['--quick', '--verbose']) {
        // yargs would take any word there for `false`.
        const given = args.find((arg) => arg.startsWith(`${flag}=`) && !/=(true|false)$/.test(arg))
        if (given !== undefined) throw new Error(`${given}: use ${flag}, or leave it out`)
      }
      expectSome('--only', only, known)
      expectSome('--peers', chosen, peers)
      expectNumber('--rounds', rounds, Number.isInteger, 1, MAX_ROUNDS)
      expectNumber('--seconds', seconds, Number.isFinite, MIN_SECONDS, MAX_SECONDS)
      expectSome('--path', path === undefined ? path : [path], PATHS)
      expectSome('--client', client === undefined ? client : [client], CLIENTS)
      const isBridge = (path ?? defaultPath()) === 'bridge'
      const needsBridge = client === undefined ? congestion && '--congestion' : '--client'
      if (needsBridge && !isBridge) throw new Error(`${needsBridge}: it is for --path bridge`)
      const allowed = congestionControls()
      expectSome('--congestion', congestion === undefined ? congestion : [congestion], allowed)
      const missing = missingBridge()
      if (isBridge && missing) throw new Error(`--path bridge: ${missing}`)
      if (out === '') throw new Error('--out "": name a folder')
      return true
    })
    .strict()
    .demandCommand(0, 0, '', 'there are only options here')
    .version(false)
    .alias('help', 'h')
    .wrap(null)
    .fail((message, err) => refuse(plain(message || err.message)))
    .parseSync()
  const { rounds, seconds } = values.quick ? QUICK : THOROUGH
  const client = values.client === 'host' ? 'host' : 'outside'
  return {
    scenarios: SCENARIOS.filter(
      ({ name, group }) => values.only?.some((each) => each === name || each === group) ?? true,
    ),
    peers: PEERS.filter(({ name }) => values.peers?.includes(name) ?? true),
    rounds: Number(values.rounds ?? rounds),
    insists: values.rounds !== undefined,
    seconds: Number(values.seconds ?? seconds),
    isQuick: values.quick,
    isVerbose: values.verbose,
    path:
      (values.path ?? defaultPath()) === 'bridge'
        ? bridgePath(client, values.congestion)
        : LOOPBACK,
    // npm changes to the project's folder first.
    out:
      values.out === undefined
        ? resolve(ROOT, 'bench-results')
        : resolve(process.env['INIT_CWD'] ?? process.cwd(), values.out),
  }
}

function defaultPath(): string {
  return missingBridge() === undefined ? 'bridge' : 'loopback'
}

/** Congestion controls that a network of the benchmark can have. */
function congestionControls(): string[] {
  // A network namespace may have no other, see tcp_set_default_congestion_control in the kernel.
  const path = '/proc/sys/net/ipv4/tcp_allowed_congestion_control'
  return readFileSync(path, 'utf8').trim().split(' ')
}

/** If an option is given twice, the last one counts, as in other programs. */
function last<T>(given: T | T[]): T | undefined {
  return Array.isArray(given) ? given.at(-1) : given
}

/** The message of yargs does not say what to do. */
function plain(message: string): string {
  const option = /^Not enough arguments following: (\w+)/.exec(message)?.[1]
  return option === undefined ? message : `--${option} needs a value: see --help`
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
  given: string | undefined,
  isRight: (number: number) => boolean,
  least: number,
  most: number,
): void {
  const number = Number(given)
  if (given === undefined || (given !== '' && isRight(number) && number >= least && number <= most))
    return
  const kind = isRight === Number.isInteger ? 'a whole number' : 'a number'
  throw new Error(`${option} ${given || '""'}: use ${kind} from ${least} to ${most}`)
}
