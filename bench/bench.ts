import { describeMachine, describeTools } from './lib/machine.js'
import { parseOptions } from './lib/options.js'
import type { Peer } from './lib/peer.js'
import { removeBundlesAtEnd } from './lib/places.js'
import { Progress, formatSeconds } from './lib/progress.js'
import { ResultsFolder } from './lib/results-folder.js'
import type { LeftOut, Results } from './lib/results.js'
import { Rounds } from './lib/rounds.js'
import type { Scenario } from './lib/scenario.js'
import { formatScenario } from './lib/table.js'

/*
 * Measures every proxy on this machine with the same work, side by side.
 */

const FAILED = 1
const BAD_USAGE = 2
const INTERRUPTED = 130

function end(status: number, message: string): never {
  console.error(message)
  process.exit(status)
}

/** The peers that can be measured here, and why the others can't. */
function present<T extends Peer | Scenario>(all: readonly T[], leftOut: LeftOut[]): T[] {
  return all.filter((each) => {
    const reason = each.missing()
    if (reason === undefined) return true
    leftOut.push({ name: each.name, reason })
    return false
  })
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2), (message) => end(BAD_USAGE, message))
  const leftOut: LeftOut[] = []
  let reported = 0
  const tellLeftOut = (): void => {
    for (const { name, reason } of leftOut.slice(reported)) {
      console.error(`${name} is left out: ${reason}`)
    }
    reported = leftOut.length
  }
  const rounds = new Rounds(options, leftOut)
  const interrupt = (): void => {
    if (rounds.isInterrupted) process.exit(INTERRUPTED) // Once more: at once.
    rounds.interrupt()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, interrupt)

  const folder = new ResultsFolder(options.out)
  const peers = present(options.peers, leftOut)
  const scenarios = present(options.scenarios, leftOut)
  tellLeftOut()

  const estimates = scenarios.map((scenario) => rounds.estimate(scenario, peers))
  const total = estimates.reduce((sum, seconds) => sum + seconds, 0)
  const style = process.stderr.isTTY ? 'bar' : 'scenarios'
  const progress = new Progress(total, options.isVerbose ? 'measurements' : style, (text) =>
    process.stderr.write(text),
  )
  console.error(
    `This takes about ${formatSeconds(total)}; Ctrl-C ends it and keeps what was measured.`,
  )
  const results: Results = {
    version: 1,
    date: new Date().toISOString(),
    machine: describeMachine(),
    path: {
      name: options.path.name,
      how: options.path.how,
      congestionControl: options.path.congestionControl,
    },
    tools: describeTools(),
    rounds: options.rounds,
    seconds: options.seconds,
    interrupted: true, // Until it is not.
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
      if (rounds.estimate(scenario, peers) === 0) {
        leftOut.push({ name: scenario.name, reason: 'it is not for any of these peers' })
        tellLeftOut()
        continue
      }
      const result = await rounds.measure(scenario, peers, progress)
      progress.clear()
      tellLeftOut()
      // A scenario without peers, or one that was interrupted in its first round, has no results.
      if (!result.rows.some(({ values, failure }) => failure || Object.keys(values).length))
        continue
      results.scenarios.push(result)
      console.log(`${formatScenario(result, process.stdout.columns)}\n`)
      folder.write(results)
    }
  } finally {
    await rounds.close()
  }
  results.interrupted = rounds.isInterrupted
  const hasSome = results.scenarios.length > 0
  // A run without results does not replace earlier results.
  const where = hasSome ? folder.write(results).join(' and ') : ''
  if (results.interrupted) {
    end(
      INTERRUPTED,
      `Interrupted: ${where ? `what was measured is in ${where}` : 'nothing was measured'}`,
    )
  }
  if (!hasSome) end(FAILED, 'Nothing could be measured')
  const hasFailures = results.scenarios.some(({ rows }) => rows.some(({ failure }) => failure))
  end(0, `${hasFailures ? 'All but what failed' : 'All of it'} is in ${where}`)
}

removeBundlesAtEnd()
main().catch((err: unknown) => end(FAILED, err instanceof Error ? err.message : String(err)))
