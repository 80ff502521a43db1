import { once } from 'node:events'
import { createServer, type Server } from 'node:net'
import { freemem } from 'node:os'
import { proportionalMemory } from '../accounting.js'
import { output } from '../child.js'
import { native, original } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { builtProgram, loadProgram } from '../places.js'
import { freePorts } from '../ports.js'
import { startPublishDaemon } from '../publish-daemon.js'
import { untilIdle } from '../ready.js'
import { nothingMissing, type Bed, type Figures, type Start } from '../scenario.js'
import { startPeers } from '../start-peers.js'
import { GIB, MIB } from '../units.js'

/*
 * Wide ranges: a process for each port, started one after the other as dockerd does, and docker-publish with one process.
 */

const HOST = '127.0.0.1'
/** The first backend port of the range. Must differ from the host ports, or the proxy would connect to itself. */
const BACKEND_HOST = '127.0.0.2'
/** Memory that the most expensive peer may need per port, bytes. */
const MEMORY_OF_PORT = 2 * MIB
const COUNTS = [1, 10, 100, 1_000]
const QUICK_COUNT = 100
/** Connections through each port before its memory is measured again. */
const USES = 10

/** A published range. */
interface Range {
  /** Time until its last port was ready, without Node's forks, seconds. */
  readonly ready: number
  /** The processes that serve it. */
  readonly pids: readonly number[]
  readonly close: () => Promise<void>
}

async function byProcesses(bed: Bed, ports: readonly number[]): Promise<Range> {
  const backendPort = await bed.backends.port('echo')
  const { children, seconds: ready, close } = await startPeers(bed, ports, backendPort)
  const server = bed.peer.server?.()
  const own = children.map(({ pid }) => pid ?? 0)
  return { ready, pids: server === undefined ? own : [...own, server], close }
}

async function byPublish({ site }: Bed, ports: readonly number[]): Promise<Range> {
  const [first = 0, last = 0] = [ports[0], ports.at(-1)]
  const daemon = await startPublishDaemon(site)
  const echoes: Server[] = []
  const close = async (): Promise<void> => {
    for (const echo of echoes) echo.close()
    await daemon.close()
  }
  try {
    const range = `${HOST}:${first}-${last}:${first}-${last}`
    const host = ['--host', `unix://${daemon.socket}`]
    const start = performance.now()
    await output(
      site.load(builtProgram('docker-publish'), 'add', ...host, '-p', range, BACKEND_HOST),
    )
    const ready = (performance.now() - start) / 1000
    for (const port of ports) {
      const echo = createServer((connection) => connection.pipe(connection))
      echoes.push(echo.listen(port, BACKEND_HOST))
      await once(echo, 'listening')
    }
    return { ready, pids: [daemon.child.pid ?? 0], close }
  } catch (err) {
    await close()
    throw err
  }
}

/** Measures a range: how long it takes, and its memory before and after use. */
async function measureRange(bed: Bed, count: number): Promise<Figures> {
  const ports = await freePorts(count)
  const range = await (bed.peer === native ? byPublish : byProcesses)(bed, ports)
  try {
    const server = range.pids.at(-1) ?? 0
    await untilIdle(server)
    const memory = proportionalMemory(range.pids) / MIB
    const [first = 0, last = 0] = [ports[0], ports.at(-1)]
    const touch = [loadProgram('touch'), first, last, USES].map(String)
    await output(bed.site.load(process.execPath, ...touch))
    await untilIdle(server)
    const used = proportionalMemory(range.pids) / MIB
    return { [readyOf(count)]: range.ready, [memoryOf(count)]: memory, [usedOf(count)]: used }
  } finally {
    await range.close()
  }
}

const readyOf = (count: number): string => `ready${count}`
const memoryOf = (count: number): string => `memory${count}`
const usedOf = (count: number): string => `used${count}`

const ports: Start = {
  kind: 'start',
  name: 'ports',
  isLocal: true,
  title: 'wide ranges of ports',
  load: `one round by default; a process for each port, one after the other, until the last is ready; native by docker-publish; memory of all processes (PSS), also after ${USES} connections through each port`,
  figures: COUNTS.toReversed().flatMap((count) => [
    {
      key: readyOf(count),
      title: `${count} port${count === 1 ? '' : 's'} ready`,
      unit: 's',
      better: 'less',
    },
    { key: memoryOf(count), title: `memory of ${count}`, unit: 'MiB', better: 'less' },
    { key: usedOf(count), title: `of ${count} once used`, unit: 'MiB', better: 'less' },
  ]),
  curve: {
    title: 'Memory over published ports',
    xTitle: 'published ports',
    unit: 'MiB',
    points: COUNTS.map((count) => [count, memoryOf(count)]),
  },
  isLong: true,
  seconds: (_, isQuick) => (isQuick ? 3 : 15),
  missing: nothingMissing,
  suits: (peer) => [original, native, proxyd].includes(peer),
  async measure(bed) {
    let found: Figures = {}
    for (const count of COUNTS) {
      if (bed.isQuick && count > QUICK_COUNT) break
      // If the machine began to swap, the figures would be useless.
      const [needed = 0, free = 0] = [count * MEMORY_OF_PORT, freemem()].map((size) =>
        Math.ceil(size / GIB),
      )
      if (needed > free) {
        const reason = `that may need ${needed} GiB of memory, and ${free} are free`
        bed.leaveOut(`ports, ${count} by ${bed.peer.name}`, reason)
        break
      }
      found = { ...found, ...(await measureRange(bed, count)) }
    }
    return found
  },
}

export const PORTS: readonly Start[] = [ports]
