import { availableParallelism } from 'node:os'
import { missingBackend } from '../backends.js'
import { output } from '../child.js'
import { allowedCores, divideCores } from '../cores.js'
import { missingProgram } from '../peer.js'
import { packageFile } from '../places.js'
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

type Load = (port: number, bed: Bed, seconds: number) => Promise<{ figures: Figures; work: number }>

/** @param isEach whether each request has a connection of its own */
function autocannon(isEach: boolean): Load {
  return async (port, { site }, seconds) => {
    const command = site.load(
      ...[process.execPath, packageFile('autocannon/autocannon.js'), '--json', '--no-progress'],
      ...['--connections', String(CONNECTIONS), '--workers', String(WORKERS)],
      ...['--duration', String(Math.max(1, Math.round(seconds)))],
      // Its own --reconnectRate leaves out the answers that it reconnects after.
      ...(isEach ? ['--headers', 'Connection=close'] : []),
      `http://127.0.0.1:${port}/`,
    )
    const result = JSON.parse(await output(command)) as {
      requests: { total: number }
      latency: { p99: number }
      duration: number
      errors: number
    }
    const work = result.requests.total
    if (work === 0) throw new Error(`nothing was answered, with ${result.errors} errors`)
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
      ...['--duration', `${Math.max(1, Math.round(seconds))}s`],
      ...(isEach ? ['--header', 'Connection: close'] : []),
      `http://127.0.0.1:${port}/`,
    )
    const text = await output(command)
    const [, p99 = '', unit = 'us'] = /99%\s+([\d.]+)(us|ms|s)/.exec(text) ?? []
    const work = Number(/(\d+) requests in/.exec(text)?.[1])
    if (!(work > 0)) throw new Error('nothing was answered')
    return {
      figures: {
        rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
        p99: Number(p99) * MICROSECONDS[unit as keyof typeof MICROSECONDS],
      },
      work,
    }
  }
}

function scenario(
  name: string,
  group: string,
  title: string,
  load: string,
  measure: Load,
  missing: () => string | undefined,
): Traffic {
  return {
    kind: 'traffic',
    name,
    group,
    title,
    load: `${load}, ${CONNECTIONS} connections`,
    backend: 'http',
    figures: [
      { key: 'rate', title: 'requests', unit: '/s', better: 'more' },
      { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
    ],
    cost: { unit: 'µs/request', scale: 1e6 },
    missing,
    measure,
  }
}

const KEEP_ALIVE = 'HTTP keep-alive'
const CLOSE = 'a connection for each request'
const byAutocannon = `autocannon, ${WORKERS} worker${WORKERS === 1 ? '' : 's'}`
const withNginx = (): string | undefined => missingBackend('http')
const withWrk = (): string | undefined => withNginx() ?? missingProgram(WRK, 'wrk')

export const HTTP: readonly Traffic[] = [
  scenario('keepalive', 'keepalive', KEEP_ALIVE, byAutocannon, autocannon(false), withNginx),
  scenario('keepalive-wrk', 'keepalive', KEEP_ALIVE, 'wrk, 1 thread', wrk(false), withWrk),
  scenario('close', 'close', CLOSE, byAutocannon, autocannon(true), withNginx),
  scenario('close-wrk', 'close', CLOSE, 'wrk, 1 thread', wrk(true), withWrk),
]
