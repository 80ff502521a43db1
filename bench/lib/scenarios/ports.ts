import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, watch } from 'node:fs'
import { createServer } from 'node:net'
import { freemem } from 'node:os'
import { join } from 'node:path'
import { proportionalMemory } from '../accounting.js'
import { output, startChild, stopChild } from '../child.js'
import { native, original } from '../peers/docker-proxy.js'
import { builtProgram } from '../places.js'
import { freePorts } from '../ports.js'
import { statusReady } from '../ready.js'
import { scratchPath } from '../scratch.js'
import { nothingMissing, type Bed, type Start } from '../scenario.js'
import { GIB, MIB } from '../units.js'

/*
 * Wide ranges: the original by one process for each port, one after the other as dockerd starts them; ours by docker-publish.
 */

const HOST = '127.0.0.1'
/** Where a range is forwarded to, port by port; at its own it would come back to itself. */
const BACKEND_HOST = '127.0.0.2'
/** What a port may need where each has a Node process, bytes. */
const MEMORY_OF_PORT = 16 * MIB
const COUNTS = [1, 10, 100, 1_000]
const QUICK_COUNT = 100

/** What a range needs until its last port is ready, seconds, and memory then, MiB. */
interface Range {
  readonly ready: number
  readonly memory: number
}

async function byProcesses(bed: Bed, ports: readonly number[]): Promise<Range> {
  const { peer, site, backends } = bed
  const backendPort = await backends.port('echo')
  const children: ChildProcess[] = []
  try {
    const start = performance.now()
    for (const port of ports) {
      const child = peer.start({ protocol: 'tcp', port, backendPort }, site)
      if (!child) throw new Error(`${peer.name} has no process`)
      children.push(child)
      await statusReady(child)
    }
    const pids = children.map(({ pid }) => pid ?? 0)
    const range = rangeOf(start, pids)
    await backends.check('echo', ports.at(-1) ?? 0, children.at(-1))
    return range
  } finally {
    await Promise.all(children.map(stopChild))
  }
}

async function byPublish({ site, backends }: Bed, ports: readonly number[]): Promise<Range> {
  const [first = 0, last = 0] = [ports[0], ports.at(-1)]
  const folder = mkdtempSync(scratchPath('publish-'))
  const socket = join(folder, 'socket')
  const program = builtProgram('docker-publish')
  const host = ['--host', `unix://${socket}`]
  const roots = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const daemon = startChild(
    site.proxy(program, 'daemon', ...host, ...roots, '--log-level', 'silent'),
    {},
    'SIGTERM', // It ends its proxies, which outlive one that is killed.
  )
  const echo = createServer((connection) => connection.pipe(connection))
  try {
    await Promise.race([
      untilThere(folder, socket),
      once(daemon, 'exit').then(() => {
        throw new Error('docker-publish daemon ended')
      }),
    ])
    const range = `${HOST}:${first}-${last}:${first}-${last}`
    const start = performance.now()
    await output(site.load(program, 'add', ...host, '-p', range, BACKEND_HOST))
    const measured = rangeOf(start, [daemon.pid ?? 0])
    await once(echo.listen(last, BACKEND_HOST), 'listening')
    await backends.check('echo', last, daemon)
    return measured
  } finally {
    echo.close()
    daemon.kill('SIGTERM')
    if (daemon.exitCode === null && daemon.signalCode === null) await once(daemon, 'exit')
    await stopChild(daemon)
  }
}

function rangeOf(start: number, pids: readonly number[]): Range {
  const ready = (performance.now() - start) / 1000
  return { ready, memory: pids.reduce((sum, pid) => sum + proportionalMemory(pid), 0) / MIB }
}

async function untilThere(folder: string, path: string): Promise<void> {
  const watcher = watch(folder)
  try {
    while (!existsSync(path)) await once(watcher, 'change')
  } finally {
    watcher.close()
  }
}

const readyOf = (count: number): string => `ready${count}`
const memoryOf = (count: number): string => `memory${count}`

const ports: Start = {
  kind: 'start',
  name: 'ports',
  title: 'wide ranges of ports',
  load: 'the original by a process for each port, ours by docker-publish; until the last is ready, and memory in all (PSS)',
  figures: COUNTS.toReversed().flatMap((count) => [
    { key: readyOf(count), title: `${count} ready`, unit: 's', better: 'less' },
    { key: memoryOf(count), title: `${count}, memory`, unit: 'MiB', better: 'less' },
  ]),
  curve: {
    title: 'Memory over published ports',
    xTitle: 'published ports',
    unit: 'MiB',
    points: COUNTS.map((count) => [count, memoryOf(count)]),
  },
  maxRounds: 1,
  seconds: 20,
  missing: nothingMissing,
  suits: (peer) => peer === original || peer === native,
  async measure(bed) {
    const found: Record<string, number> = {}
    for (const count of COUNTS) {
      if (bed.isQuick && count > QUICK_COUNT) break
      // A machine that begins to swap is of no use to anybody.
      const [needed = 0, free = 0] = [count * MEMORY_OF_PORT, freemem()].map((size) =>
        Math.ceil(size / GIB),
      )
      if (needed > free) {
        const reason = `that may need ${needed} GiB of memory, and ${free} are free`
        bed.leaveOut(`ports, ${count} by ${bed.peer.name}`, reason)
        break
      }
      const row = await freePorts(count)
      const { ready, memory } = await (bed.peer === original ? byProcesses : byPublish)(bed, row)
      found[readyOf(count)] = ready
      found[memoryOf(count)] = memory
    }
    return found
  },
}

export const PORTS: readonly Start[] = [ports]
