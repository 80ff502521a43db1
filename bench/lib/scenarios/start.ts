import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { privateMemory } from '../accounting.js'
import { howItEnded, startDialog, stopChild, whileRunning } from '../child.js'
import { MOST_CONNECTIONS } from '../most-connections.js'
import type { Peer } from '../peer.js'
import { loadProgram } from '../places.js'
import { freePort } from '../ports.js'
import { portReady, statusReady, untilIdle } from '../ready.js'
import { nothingMissing, type Bed, type Start } from '../scenario.js'
import { median } from '../statistics.js'
import { MIB } from '../units.js'

/*
 * The cost of a proxy before its first connection, and of idle connections.
 */

const CONNECTIONS = [0, 100, 1_000, 3_000, MOST_CONNECTIONS].filter(
  (count) => count <= MOST_CONNECTIONS,
)

const isProcess = ({ isKernel }: Peer): boolean => !isKernel

/** The process that serves all ports of the peer, if there is one. */
function serverOf({ server }: Peer): number[] {
  const pid = server?.()
  return pid === undefined ? [] : [pid]
}

interface Started {
  readonly child: ChildProcess
  readonly port: number
  /** Time from exec(2) to the ready report. Excludes the fork by Node. */
  readonly milliseconds: number
}

/** Starts the peer before a backend, and waits until it reports that it forwards. */
async function startPeer({ peer, site, backends }: Bed): Promise<Started> {
  const forward = {
    protocol: 'tcp',
    port: await freePort(),
    backendPort: await backends.port('echo'),
  } as const
  const child = peer.start(forward, site)
  // Node's spawn returns after the exec.
  const started = performance.now()
  if (!child) throw new Error(`${peer.name} has no process`)
  try {
    await (peer.hasStatusPipe ? statusReady(child) : portReady(forward.port, child))
    const milliseconds = performance.now() - started
    return { child, port: forward.port, milliseconds }
  } catch (err) {
    await stopChild(child)
    throw err
  }
}

/** A start takes a few milliseconds, and varies: a round takes the median of this many. */
const STARTS_IN_A_ROUND = 9

const startUp: Start = {
  kind: 'start',
  name: 'start-up',
  isLocal: true,
  title: 'a proxy starts',
  load: `from exec until it forwards, the median of ${STARTS_IN_A_ROUND} starts; and what it holds then`,
  figures: [
    { key: 'ready', title: 'ready', unit: 'ms', better: 'less' },
    { key: 'memory', title: 'private memory', unit: 'MiB', better: 'less' },
  ],
  seconds: () => 0.6,
  missing: nothingMissing,
  suits: isProcess,
  async measure(bed) {
    const times: number[] = []
    while (times.length < STARTS_IN_A_ROUND - 1) {
      const { child, milliseconds } = await startPeer(bed)
      times.push(milliseconds)
      await stopChild(child)
    }
    const server = serverOf(bed.peer)
    // Memory that it frees of earlier starts must not count.
    await Promise.all(server.map(untilIdle))
    const before = privateMemory(...server)
    const { child, port, milliseconds } = await startPeer(bed)
    try {
      return await whileRunning([child], async () => {
        await Promise.all([child.pid ?? 0, ...server].map(untilIdle))
        // If all ports share a process, the growth of that process counts.
        const memory = (privateMemory(child.pid ?? 0, ...server) - before) / MIB
        await bed.backends.check('echo', port, child)
        return { ready: median([...times, milliseconds]), memory }
      })
    } finally {
      await stopChild(child)
    }
  },
}

const keyOf = (count: number): string => `at${count}`

const idle: Start = {
  kind: 'start',
  name: 'idle',
  isLocal: true,
  title: 'idle connections',
  load: `private memory in all, with up to ${CONNECTIONS.at(-1) ?? 0} connections that were used once`,
  figures: [
    { key: 'each', title: 'memory of a connection', unit: 'KiB', better: 'less' },
    ...CONNECTIONS.map((count) => ({
      key: keyOf(count),
      title: `${count} open`,
      unit: 'MiB',
      better: 'less' as const,
    })),
  ],
  curve: {
    title: 'Memory over connections',
    xTitle: 'idle connections',
    unit: 'MiB',
    points: CONNECTIONS.map((count) => [count, keyOf(count)]),
  },
  seconds: () => 2,
  missing: nothingMissing,
  suits: isProcess,
  async measure(bed) {
    const { child, port } = await startPeer(bed)
    const figures: Record<string, number> = {}
    const pids = [child.pid ?? 0, ...serverOf(bed.peer)]
    const counts = CONNECTIONS.filter((count) => count <= (bed.peer.maxConnections ?? Infinity))
    let load: ChildProcess | undefined
    try {
      load = startDialog(bed.site.load(process.execPath, loadProgram('idle'), String(port)))
      for (const count of counts) {
        if (!(await hasOpened(load, child, count))) {
          const ended = howItEnded(child)
          const reason = ended ? `it ${ended}` : 'some connections were refused, or closed'
          throw new Error(`with ${count} connections: ${reason}`)
        }
        for (const pid of pids) await untilIdle(pid)
        figures[keyOf(count)] = privateMemory(...pids) / MIB
      }
    } finally {
      if (load) await stopChild(load)
      await stopChild(child)
    }
    // A proxy allocates some memory only once, for its first connections.
    const [from = 0, to = 0] = counts.length >= ENOUGH ? [counts[1], counts.at(-1)] : counts
    const grown = (figures[keyOf(to)] ?? NaN) - (figures[keyOf(from)] ?? NaN)
    return { each: (grown / (to - from)) * 1024, ...figures }
  },
}

/** The numbers of connections on the curve. */
const ENOUGH = 3

/** Whether this many connections are open; false if one was refused, or the proxy has ended. */
async function hasOpened(load: ChildProcess, proxy: ChildProcess, count: number): Promise<boolean> {
  load.stdin?.write(`${count}\n`)
  const failed = Promise.race([load, proxy].map((each) => once(each, 'exit'))).then(() => false)
  const opened = load.stdout ? once(load.stdout, 'data').then(() => true) : Promise.resolve(false)
  return Promise.race([opened, failed])
}

export const STARTS: readonly Start[] = [startUp, idle]
