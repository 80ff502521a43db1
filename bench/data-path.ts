import { parseArgs } from 'node:util'
import type { ChildProcess } from 'node:child_process'
import { startChild, stopChild, untilListening } from './lib/child.js'
import { PEERS, startHttpBackend, type Peer } from './lib/peers.js'
import { bundled, SCENARIOS, type Figures, type Scenario } from './lib/scenarios.js'
import { median } from './lib/statistics.js'

/*
 * What each proxy on this machine makes of the same work. Rounds are interleaved, so that what else the machine does
 * falls on all; the first round warms up and does not count.
 */

const { values } = parseArgs({
  options: {
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    only: { type: 'string' },
    peers: { type: 'string' },
  },
})
const rounds = Number(values.rounds)
const seconds = Number(values.seconds)

/** Ports of the backends, and from where on the proxies have theirs: below those that the system hands out. */
const BACKEND = { http: 21_080, iperf: 21_081, udp: 21_082, hold: 21_083, fair: 21_084 }
let nextPort = 21_100

function chosen<T extends { readonly name: string }>(all: readonly T[], names?: string): T[] {
  const wanted = names?.split(',')
  const unknown = wanted?.find((name) => !all.some((each) => each.name === name))
  if (unknown !== undefined) {
    console.error(`there is no "${unknown}": use some of ${all.map(({ name }) => name).join(', ')}`)
    process.exit(2)
  }
  return all.filter(({ name }) => wanted?.includes(name) ?? true)
}

async function startBackends(): Promise<void> {
  startHttpBackend(BACKEND.http)
  startChild('iperf3', ['-s', '-B', '127.0.0.1', '-p', String(BACKEND.iperf)])
  startChild(process.execPath, [bundled('udp'), 'echo', String(BACKEND.udp)])
  // Accepts and keeps still; in a process of its own, since it takes many descriptors.
  const hold = `require('net').createServer((socket) => socket.on('error', () => undefined).resume())
    .listen({ port: ${BACKEND.hold}, host: '127.0.0.1', backlog: 4096 })`
  startChild(process.execPath, ['-e', hold])
  startChild(process.execPath, [bundled('fair'), 'backend', String(BACKEND.fair)])
  await Promise.all([BACKEND.http, BACKEND.hold, BACKEND.fair].map(untilListening))
}

async function measure(scenario: Scenario, peers: readonly Peer[]): Promise<void> {
  const protocol = scenario.backend === 'udp' ? 'udp' : 'tcp'
  const backendPort = BACKEND[scenario.backend]
  const able = peers.filter(({ protocols }) => protocols.includes(protocol))
  const started = new Map<Peer, { port: number; proxy: ChildProcess }>()
  const start = async (peer: Peer): Promise<void> => {
    const port = nextPort++
    started.set(peer, { port, proxy: peer.start(protocol, port, backendPort) })
    if (protocol === 'tcp') await untilListening(port)
  }
  for (const peer of able) await start(peer)
  const results = new Map<Peer, Figures[]>()
  for (let round = 0; round <= rounds; round++) {
    for (const [peer, { port, proxy }] of started) {
      const figures = await scenario.run(port, proxy, seconds)
      if (proxy.exitCode !== null) throw new Error(`${peer.name} ended while it was measured`)
      if (round > 0) results.set(peer, [...(results.get(peer) ?? []), figures])
      if (!scenario.isFresh) continue
      await stopChild(proxy)
      await start(peer)
    }
  }
  for (const { proxy } of started.values()) await stopChild(proxy)
  print(scenario, results)
}

function print({ title, units }: Scenario, results: ReadonlyMap<Peer, readonly Figures[]>): void {
  console.log(`\n${title}`)
  const columns = Object.keys(units)
  const heads = columns.map(
    (c) => `${c.replace('↓', '')} ${units[c] ?? ''}`.padStart(20) + ' '.repeat(8),
  )
  console.log(''.padEnd(10) + heads.join(''))
  const middle = (peer: Peer, column: string): number =>
    median((results.get(peer) ?? []).map((figures) => figures[column] ?? NaN))
  const [base] = results.keys()
  for (const peer of results.keys()) {
    const cells = columns.map((column) => {
      const value = middle(peer, column)
      const ratio = base ? value / middle(base, column) : NaN
      const digits = value < 10 ? 3 : value < 1000 ? 1 : 0
      return `${value.toFixed(digits).padStart(20)} (${ratio.toFixed(2)})`.padEnd(28)
    })
    console.log(peer.name.padEnd(10) + cells.join(''))
  }
}

async function main(): Promise<void> {
  await startBackends()
  console.log(
    `medians of ${rounds} rounds of ${seconds} s, Node ${process.version}; in brackets the ratio to the first`,
  )
  for (const scenario of chosen(SCENARIOS, values.only)) {
    await measure(scenario, chosen(PEERS, values.peers))
  }
  process.exit()
}

void main()
