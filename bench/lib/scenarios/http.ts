import { availableParallelism } from 'node:os'
import { missingBackend } from '../backends.js'
import { output } from '../child.js'
import { allowedCores, divideCores } from '../cores.js'
import { missingProgram } from '../peer.js'
import { packageFile } from '../places.js'
import type { Figure } from '../results.js'
import type { Bed, Figures, Traffic } from '../scenario.js'

/*
 * HTTP requests, on connections that stay and on new ones; by autocannon, and by wrk where it is installed, since a load
 * in Node saturates before the proxies do.
 */

const WRK = '/usr/bin/wrk'
const CONNECTIONS = 64
const MICROSECONDS = { us: 1, ms: 1_000, s: 1_000_000 }
/** autocannon's threads: the load's own cores, or half of those that all share. */
const WORKERS =
  divideCores(allowedCores())?.load.length ?? Math.max(1, Math.floor(availableParallelism() / 2))

const P99: Figure = { key: 'p99', title: 'p99', unit: 'µs', better: 'less' }

/** Of so many requests one may fail: autocannon counts what it breaks off itself at the end. */
const MAX_FAILED = 1 / 1_000

/** @throws Error when what was measured is not a proxy that works */
function expectAnswers(answered: number, failed: number): void {
  if (answered > 0 && failed <= Math.max(CONNECTIONS, answered * MAX_FAILED)) return
  throw new Error(`${answered} requests were answered, and ${failed} failed`)
}

type Load = (port: number, bed: Bed, seconds: number) => Promise<{ figures: Figures; work: number }>

/** @param isEach whether each request has a connection of its own */
function autocannon(isEach: boolean): Load {
  return async (port, { site }, seconds) => {
    const command = site.load(
      ...[process.execPath, packageFile('autocannon/autocannon.js'), '--json', '--no-progress'],
      ...['--connections', String(CONNECTIONS), '--workers', String(WORKERS)],
      ...['--duration', String(seconds)],
      // Its own --reconnectRate leaves out the answers that it reconnects after.
      ...(isEach ? ['--headers', 'Connection=close'] : []),
      `http://127.0.0.1:${port}/`,
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
    expectAnswers(work, result.errors + result.timeouts + result.non2xx)
    return {
      figures: { rate: work / result.duration, p99: result.latency.p99 * MICROSECONDS.ms },
      work,
    }
  }
}

/** @param isEach whether each request has a connection of its own */
function wrk(isEach: boolean): Load {
  return async (port, { site }, seconds) => {
    const command = site.load(
      ...[WRK, '--threads', '1', '--connections', String(CONNECTIONS), '--latency'],
      ...['--duration', `${seconds}s`],
      ...(isEach ? ['--header', 'Connection: close'] : []),
      `http://127.0.0.1:${port}/`,
    )
    const text = await output(command)
    const [, p99 = '', unit = 'us'] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? []
    const work = Number(/(\d+) requests in/.exec(text)?.[1])
    const socketErrors = /Socket errors: (.*)/.exec(text)?.[1]?.match(/\d+/g) ?? []
    const refused = /Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0
    const failed = [...socketErrors, refused].reduce<number>((sum, n) => sum + Number(n), 0)
    expectAnswers(work, failed)
    return {
      figures: {
        rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
        p99: Number(p99) * MICROSECONDS[unit as keyof typeof MICROSECONDS],
      },
      work,
    }
  }
}

/** What makes the requests. */
interface Tool {
  readonly suffix: string
  readonly name: string
  readonly text: string
  readonly run: (isEach: boolean) => Load
  readonly missing: () => string | undefined
  /** Whether its latencies of new connections mean something: autocannon counts its own wait for the old one's end. */
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
  run: wrk,
  missing: () => missingBackend('http') ?? missingProgram(WRK, 'wrk'),
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
