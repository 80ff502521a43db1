import { type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { privateMemory } from '../accounting.js'
import { howItEnded, startDialog, stopChild } from '../child.js'
import type { Peer } from '../peer.js'
import { loadProgram } from '../places.js'
import { freePort } from '../ports.js'
import { portReady, statusReady, untilIdle } from '../ready.js'
import { nothingMissing, type Bed, type Start } from '../scenario.js'

/*
 * What a proxy costs before its first connection, and what idle connections cost.
 */

const MIB = 2 ** 20
const CONNECTIONS = [0, 100, 1_000, 3_000]

const isProcess = ({ openSite, isBackend }: Peer): boolean => !openSite && !isBackend

/** Starts the peer before a backend, and waits until it forwards. */
async function startPeer({
  peer,
  site,
  backends,
}: Bed): Promise<{ child: ChildProcess; port: number; milliseconds: number }> {
  const forward = {
    protocol: 'tcp',
    port: await freePort(),
    backendPort: await backends.port('echo'),
  } as const
  const started = performance.now()
  const child = peer.start(forward, site)
  if (!child) throw new Error(`${peer.name} has no process`)
  try {
    await (peer.hasStatusPipe ? statusReady(child) : portReady(forward.port, child))
  } catch (err) {
    await stopChild(child)
    throw err
  }
  return { child, port: forward.port, milliseconds: performance.now() - started }
}

const startUp: Start = {
  kind: 'start',
  name: 'start-up',
  title: 'a proxy starts',
  load: 'from exec until it forwards, and what it holds then',
  figures: [
    { key: 'ready', title: 'ready', unit: 'ms', better: 'less' },
    { key: 'memory', title: 'private memory', unit: 'MiB', better: 'less' },
  ],
  seconds: 0.3,
  missing: nothingMissing,
  suits: isProcess,
  async measure(bed) {
    const { child, milliseconds } = await startPeer(bed)
    await untilIdle(child.pid ?? 0)
    const memory = privateMemory(child.pid ?? 0) / MIB
    await stopChild(child)
    return { ready: milliseconds, memory }
  },
}

const keyOf = (count: number): string => `at${count}`

const idle: Start = {
  kind: 'start',
  name: 'idle',
  title: 'idle connections',
  load: `private memory in all, with up to ${CONNECTIONS.at(-1) ?? 0} connections that were used once`,
  figures: [
    { key: 'each', title: 'memory of a connection', unit: 'KiB', better: 'less' },
    ...CONNECTIONS.map((count) => ({
      key: keyOf(count),
      title: `with ${count}`,
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
  maxRounds: 3,
  seconds: 2,
  missing: nothingMissing,
  suits: isProcess,
  async measure(bed) {
    const { child, port } = await startPeer(bed)
    const load = startDialog(bed.site.load(process.execPath, loadProgram('idle'), String(port)))
    const figures: Record<string, number> = {}
    const counts = CONNECTIONS.filter((count) => count <= (bed.peer.maxConnections ?? Infinity))
    try {
      for (const count of counts) {
        load.stdin?.write(`${count}\n`)
        await Promise.race([
          load.stdout && once(load.stdout, 'data'),
          Promise.race([load, child].map((each) => once(each, 'exit'))).then(() => {
            throw new Error(
              `with ${count} connections: ${howItEnded(child) ?? 'some were refused'}`,
            )
          }),
        ])
        await untilIdle(child.pid ?? 0)
        figures[keyOf(count)] = privateMemory(child.pid ?? 0) / MIB
      }
    } finally {
      await stopChild(load)
      await stopChild(child)
    }
    // What a proxy needs for its first connections it needs once.
    const [from = 0, to = 0] = counts.length > 2 ? [counts[1], counts.at(-1)] : counts
    const grown = (figures[keyOf(to)] ?? NaN) - (figures[keyOf(from)] ?? NaN)
    return { each: (grown / (to - from)) * 1024, ...figures }
  },
}

export const STARTS: readonly Start[] = [startUp, idle]
