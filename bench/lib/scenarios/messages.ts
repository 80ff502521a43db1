import { missingBackend } from '../backends.js'
import { output } from '../child.js'
import { hasOwnEngine } from '../peer.js'
import { loadProgram } from '../places.js'
import { nothingMissing, type Figures, type Traffic } from '../scenario.js'
import type { Site } from '../site.js'

/** Runs a program of bench/load, which prints its figures. */
export async function runLoad(
  site: Site,
  name: string,
  ...args: readonly (string | number)[]
): Promise<Figures> {
  const command = site.load(process.execPath, loadProgram(name), ...args.map(String))
  return JSON.parse(await output(command)) as Figures
}

const RATE = 2_000
const CONNECTIONS = 8
const PERCENTILES = ['p50', 'p90', 'p99', 'p99.9']

const latency: Traffic = {
  kind: 'traffic',
  name: 'latency',
  title: 'latency under a fixed rate',
  load: `${RATE} HTTP requests a second on ${CONNECTIONS} connections, sent on time whether others were answered or not`,
  backend: 'http',
  figures: PERCENTILES.map((key) => ({ key, title: key, unit: 'µs', better: 'less' })),
  curve: {
    title: 'Time to the answer',
    xTitle: 'percentile',
    unit: 'µs',
    points: PERCENTILES.map((key) => [key, key]),
  },
  cost: { unit: 'µs/request', scale: 1e6 },
  missing: () => missingBackend('http'),
  suits: hasOwnEngine,
  async measure(port, { site }, seconds) {
    const { answered = 0, ...figures } = await runLoad(
      site,
      'rate',
      port,
      seconds,
      RATE,
      CONNECTIONS,
    )
    if (answered < RATE * seconds * 0.99) {
      throw new Error(`of ${RATE * seconds} requests ${answered} were answered`)
    }
    return { figures, work: answered }
  },
}

const fair: Traffic = {
  kind: 'traffic',
  name: 'fair',
  title: 'small messages beside a bulk stream',
  load: '8 connections in turn, echoed',
  backend: 'echo',
  figures: [
    { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
    { key: 'p50', title: 'p50', unit: 'µs', better: 'less' },
  ],
  cost: { unit: 'µs/message', scale: 1e6 },
  missing: nothingMissing,
  suits: hasOwnEngine,
  async measure(port, { site }, seconds) {
    const { count = NaN, ...figures } = await runLoad(site, 'fair', 'client', port, seconds)
    return { figures, work: count }
  },
}

const udp: Traffic = {
  kind: 'traffic',
  name: 'udp',
  title: 'UDP, 512 bytes echoed',
  load: '16 clients with 8 datagrams under way each',
  backend: 'udp',
  figures: [
    { key: 'rate', title: 'datagrams', unit: '/s', better: 'more' },
    { key: 'lost', title: 'lost', unit: '', better: 'less' },
  ],
  cost: { unit: 'µs/datagram', scale: 1e6 },
  missing: nothingMissing,
  suits: hasOwnEngine,
  async measure(port, { site }, seconds) {
    const { received = NaN, ...figures } = await runLoad(site, 'udp', 'load', port, seconds, 16, 8)
    return { figures, work: received }
  },
}

export const MESSAGES: readonly Traffic[] = [latency, fair, udp]
