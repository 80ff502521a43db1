import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import yargs from 'yargs'
import { family, privateMemory } from './lib/accounting.js'
import { endAll, startChild, startDialog } from './lib/child.js'
import { lineChart } from './lib/line-chart.js'
import { formatNumber } from './lib/number.js'
import { builtProgram, loadProgram, removeBundlesAtEnd } from './lib/places.js'
import { freePort } from './lib/ports.js'
import { statusReady } from './lib/ready.js'
import type { ScenarioResult } from './lib/results.js'
import { median } from './lib/statistics.js'
import { MIB } from './lib/units.js'
import type { Window } from './load/mixed.js'

/*
 * Keeps proxies of both engines busy for a long time, with clients that compare every byte. Memory, descriptors and latency have to stay flat:
 * the last third of the time is compared with the third before. Ends with status 1 if one does not, or something was lost.
 */

const IP = '127.0.0.1'
const ENGINES = ['native', 'streams'] as const
const PROTOCOLS = ['tcp', 'udp'] as const
/** Samples of a run. */
const SAMPLES = 60
/** Flows of UDP, which live for 90 s, have to level off in the first third. */
const FEWEST_MINUTES = 5
const MOST_MINUTES = 10_080

/** Growth that is no leak: of memory and descriptors by this share and this much, of latency by this factor, which other work also causes. */
const FLAT = { share: 0.1, memory: 2 * MIB, descriptors: 8, latency: 2 }

interface Sample extends Window {
  /** Bytes that the engine's processes share with nobody. */
  readonly memory: number
  readonly descriptors: number
}

/** The processes of an engine, and what was measured of them. */
interface Soaked {
  readonly engine: (typeof ENGINES)[number]
  readonly processes: readonly ChildProcess[]
  readonly ports: readonly number[]
  readonly samples: Sample[]
}

function parse(): { minutes: number; out: string } {
  const { minutes, out } = yargs(process.argv.slice(2))
    .scriptName('npm run soak --')
    .usage('$0 [options]\n\nKeeps proxies of both engines busy, and looks for what grows.')
    .option('minutes', { type: 'number', default: 10, describe: 'length of the run' })
    .option('out', { type: 'string', default: 'soak-results', describe: 'folder for the plots' })
    .strict()
    .parseSync()
  if (minutes >= FEWEST_MINUTES && minutes <= MOST_MINUTES) return { minutes, out }
  console.error(`--minutes ${minutes}: expected ${FEWEST_MINUTES} to ${MOST_MINUTES}`)
  process.exit(2)
}

/** Starts a docker-proxy, and waits until it is ready. */
async function startProxy(
  engine: string,
  protocol: string,
  hostPort: number,
  containerPort: number,
): Promise<ChildProcess> {
  const flags = { proto: protocol, 'host-ip': IP, 'host-port': hostPort, 'container-ip': IP }
  const args = Object.entries({ ...flags, 'container-port': containerPort }).flatMap(
    ([name, value]) => [`-${name}`, String(value)],
  )
  const env = { DOCKER_PROXY_ENGINE: engine, DOCKER_PROXY_ISOLATION: 'process' }
  const child = startChild([builtProgram('docker-proxy'), ...args], env)
  await statusReady(child)
  return child
}

function openDescriptors(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/fd`).length
  } catch {
    return 0 // It has ended.
  }
}

function measure({ processes }: Soaked, window: Window): Sample {
  const pids = processes.flatMap(({ pid }) => pid ?? [])
  const descriptors = pids.flatMap(family).map(openDescriptors)
  return {
    ...window,
    memory: privateMemory(...pids),
    descriptors: descriptors.reduce((sum, count) => sum + count, 0),
  }
}

/** Runs the clients of an engine. A sample follows each of their windows. */
async function soak(soaked: Soaked, seconds: number): Promise<void> {
  const numbers = [...soaked.ports, seconds, seconds / SAMPLES].map(String)
  const load = startDialog([process.execPath, loadProgram('mixed'), 'load', ...numbers])
  for await (const line of createInterface({ input: load.stdout as Readable })) {
    soaked.samples.push(measure(soaked, JSON.parse(line) as Window))
  }
}

/** What has grown, or was lost; empty if nothing has. */
function faultsOf({ engine, processes, samples }: Soaked): string[] {
  const third = Math.floor(samples.length / 3)
  const grown = (
    of: (sample: Sample) => number,
    figure: (values: number[]) => number = median,
  ): [before: number, after: number] => [
    figure(samples.slice(third, 2 * third).map(of)),
    figure(samples.slice(2 * third).map(of)),
  ]
  const faults: string[] = []
  // Above the least lies garbage, of which there is more in busier times.
  const least = (values: number[]): number => Math.min(...values)
  const [memory, laterMemory] = grown((sample) => sample.memory, least)
  if (laterMemory > memory * (1 + FLAT.share) + FLAT.memory) faults.push('memory grows')
  const [descriptors, laterDescriptors] = grown((sample) => sample.descriptors)
  if (laterDescriptors > descriptors * (1 + FLAT.share) + FLAT.descriptors) {
    faults.push('descriptors grow')
  }
  const [latency, laterLatency] = grown((sample) => sample.median)
  if (laterLatency > latency * FLAT.latency) faults.push('latency grows')
  const losses = samples.reduce((sum, sample) => sum + sample.losses, 0)
  if (losses > 0) faults.push(`${losses} losses`)
  if (processes.some(({ exitCode, signalCode }) => (exitCode ?? signalCode) !== null)) {
    faults.push('a process has ended')
  }
  return faults.map((fault) => `${engine}: ${fault}`)
}

function report({ engine, samples }: Soaked): string {
  const total = (of: (sample: Sample) => number): string =>
    samples.reduce((sum, sample) => sum + of(sample), 0).toLocaleString('en-US')
  const range = (of: (sample: Sample) => number): string => {
    const values = samples.slice(Math.floor(samples.length / 3)).map(of)
    return `${formatNumber(Math.min(...values))} to ${formatNumber(Math.max(...values))}`
  }
  return `${engine}
  connections and datagrams   ${total(({ exchanges }) => exchanges)}
  bytes compared              ${total(({ bytes }) => bytes)}
  losses                      ${total(({ losses }) => losses)}
  memory, MiB                 ${range(({ memory }) => memory / MIB)}
  descriptors                 ${range(({ descriptors }) => descriptors)}
  latency, median, ms         ${range((sample) => sample.median)}
  latency, p99, ms            ${range((sample) => sample.p99)}`
}

/** Draws a figure of all engines over the time. */
function plot(
  name: string,
  title: string,
  unit: string,
  all: readonly Soaked[],
  secondsPerSample: number,
  of: (sample: Sample) => number,
): string {
  const count = Math.min(...all.map(({ samples }) => samples.length))
  const points = Array.from({ length: count }, (_, i) => ({
    x: (((i + 1) * secondsPerSample) / 60).toFixed(1),
    key: String(i),
  }))
  const scenario: ScenarioResult = {
    ...{ name, title, load: '', figures: [] },
    curve: { title, xTitle: 'minutes', unit, points },
    rows: all.map(({ engine, samples }) => ({
      peer: engine,
      values: Object.fromEntries(
        samples.map((sample, i) => {
          const value = of(sample)
          const range = { rounds: [value], median: value, low: value, high: value }
          return [String(i), { ...range, noisy: false, ratios: {} }]
        }),
      ),
    })),
  }
  return lineChart(scenario, ENGINES) ?? ''
}

async function main(): Promise<void> {
  const { minutes, out } = parse()
  const seconds = minutes * 60
  const backend = startDialog([process.execPath, loadProgram('mixed'), 'backend'])
  const [line] = (await once(backend.stdout as Readable, 'data')) as [Buffer]
  const to = JSON.parse(line.toString()) as Record<(typeof PROTOCOLS)[number], number>
  const all: Soaked[] = []
  for (const engine of ENGINES) {
    const ports: number[] = []
    const processes: ChildProcess[] = []
    for (const protocol of PROTOCOLS) {
      const port = await freePort()
      processes.push(await startProxy(engine, protocol, port, to[protocol]))
      ports.push(port)
    }
    all.push({ engine, processes, ports, samples: [] })
  }
  console.log(`${ENGINES.join(' and ')} are busy for ${minutes} minutes`)
  await Promise.all(all.map((each) => soak(each, seconds)))
  for (const each of all) console.log(report(each))

  mkdirSync(out, { recursive: true })
  const every = seconds / SAMPLES
  for (const [name, title, unit, of] of [
    ['memory', 'Private memory', 'MiB', ({ memory }: Sample) => memory / MIB],
    ['descriptors', 'Open descriptors', 'descriptors', ({ descriptors }: Sample) => descriptors],
    ['latency', 'Latency of a small exchange, median', 'ms', (sample: Sample) => sample.median],
  ] as const) {
    writeFileSync(join(out, `${name}.svg`), plot(name, title, unit, all, every, of))
  }
  const samples = Object.fromEntries(all.map((each) => [each.engine, each.samples]))
  writeFileSync(join(out, 'samples.json'), `${JSON.stringify({ every, ...samples }, null, 2)}\n`)
  console.log(`plots in ${resolve(out)}`)
  const faults = all.flatMap(faultsOf)
  for (const fault of faults) console.error(fault)
  endAll()
  process.exit(faults.length > 0 ? 1 : 0)
}

removeBundlesAtEnd()
main().catch((err: unknown) => {
  console.error(err instanceof Error ? err.message : String(err))
  endAll()
  process.exit(1)
})
