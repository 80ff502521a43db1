import { availableParallelism } from 'node:os'
import { missingBackend } from '../backends.js'
import { output } from '../child.js'
import { allowedCores, divideCores } from '../cores.js'
import { packageFile } from '../places.js'
import type { Figure } from '../results.js'
import type { Bed, Figures, Traffic } from '../scenario.js'
import { expectAnswers } from '../answers.js'
import { missingWrk, runWrk } from '../wrk.js'

/*
 * HTTP requests on permanent and on new connections, by autocannon, and by wrk if it is installed, because a load generator
 * in Node saturates before the proxies do.
 */

const CONNECTIONS = 64
const MICROSECONDS_OF_MS = 1_000
/** autocannon's threads: one per core of the load, or for half of the cores if all share them. */
const WORKERS =
  divideCores(allowedCores())?.load.length ?? Math.max(1, Math.floor(availableParallelism() / 2))

const P99: Figure = { key: 'p99', title: 'p99', unit: 'µs', better: 'less' }

type Load = (port: number, bed: Bed, seconds: number) => Promise<{ figures: Figures; work: number }>

/** @param isEach whether each request has a connection of its own */
function autocannon(isEach: boolean): Load {
  return async (port, { site }, seconds) => {
    const command = site.load(
      ...[process.execPath, packageFile('autocannon/autocannon.js'), '--json', '--no-progress'],
      ...['--connections', String(CONNECTIONS), '--workers', String(WORKERS)],
      // It ends with a sample, whose interval is a second by default.
      ...['--duration', String(seconds), '--sampleInt', String(Math.min(1, seconds) * 1000)],
      // Its option --reconnectRate does not count the answers after which it reconnects.
      ...(isEach ? ['--headers', 'Connection=close'] : []),
      `http://${site.hostIp}:${port}/`,
    )
    const result = JSON.parse(await output(command)) as {
      requests: { total: number }
      latency: { p99: number }
      duration: number
      errors: number
      timeouts: number
      non2xx: number
    }
    const work = result.requests.total
    expectAnswers(CONNECTIONS, work, result.errors + result.timeouts + result.non2xx)
    return {
      figures: { rate: work / result.duration, p99: result.latency.p99 * MICROSECONDS_OF_MS },
      work,
    }
  }
}

/** A load generator. */
interface Tool {
  readonly suffix: string
  readonly name: string
  readonly text: string
  readonly run: (isEach: boolean) => Load
  readonly missing: () => string | undefined
  /** Whether its latencies of new connections are usable: autocannon includes its wait for the end of the old connection. */
  readonly timesConnections: boolean
}

const AUTOCANNON: Tool = {
  suffix: '',
  name: 'autocannon',
  text: `${WORKERS} worker${WORKERS === 1 ? '' : 's'}`,
  run: autocannon,
  missing: () => missingBackend('http'),
  timesConnections: false,
}

const BY_WRK: Tool = {
  suffix: '-wrk',
  name: 'wrk',
  text: '1 thread',
  run:
    (isEach) =>
    (port, { site }, seconds) =>
      runWrk(site, port, CONNECTIONS, seconds, isEach),
  missing: missingWrk,
  timesConnections: true,
}

function scenario(group: string, title: string, isEach: boolean, tool: Tool): Traffic {
  return {
    kind: 'traffic',
    name: group + tool.suffix,
    group,
    title: `${title}, by ${tool.name}`,
    load: `${tool.text}, ${CONNECTIONS} connections`,
    backend: 'http',
    figures: [
      { key: 'rate', title: 'requests', unit: '/s', better: 'more' },
      ...(isEach && !tool.timesConnections ? [] : [P99]),
    ],
    cost: { unit: 'µs/request', scale: 1e6 },
    missing: tool.missing,
    measure: tool.run(isEach),
  }
}

export const HTTP: readonly Traffic[] = [
  ...[AUTOCANNON, BY_WRK].map((tool) => scenario('keepalive', 'HTTP keep-alive', false, tool)),
  ...[AUTOCANNON, BY_WRK].map((tool) =>
    scenario('close', 'a connection for each request', true, tool),
  ),
]
