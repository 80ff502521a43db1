import { missingBackend } from '../backends.js'
import { startChild, stopChild, whileRunning } from '../child.js'
import { native, original, streams } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { freePorts } from '../ports.js'
import type { Start } from '../scenario.js'
import { startPeers } from '../start-peers.js'
import { missingWrk, runWrk } from '../wrk.js'
import { endlessBulk } from './bulk.js'
import { runLoad } from './messages.js'

/*
 * A port beside other ports of the same proxy, or of proxies on the same host.
 */

const IDLE_PORTS = 1_000
const QUICK_IDLE_PORTS = 50
const CONNECTIONS = 64
/** Requests a second, and their connections. */
const QUIET = [200, 2] as const

const besideIdle: Start = {
  kind: 'start',
  name: 'beside-idle',
  title: `HTTP keep-alive beside ${IDLE_PORTS} idle ports`,
  load: `wrk, ${CONNECTIONS} connections`,
  figures: [
    { key: 'rate', title: 'requests', unit: '/s', better: 'more' },
    { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
  ],
  isLong: true,
  seconds: (load, isQuick) => load + (isQuick ? 1 : 5),
  missing: missingWrk,
  suits: (peer) => [original, proxyd].includes(peer),
  async measure(bed) {
    const { site, backends, seconds, isQuick } = bed
    const ports = await freePorts((isQuick ? QUICK_IDLE_PORTS : IDLE_PORTS) + 1)
    const { children, close } = await startPeers(bed, ports, await backends.port('http'))
    try {
      const work = (): ReturnType<typeof runWrk> =>
        runWrk(site, ports[0] ?? 0, CONNECTIONS, seconds, false)
      return (await whileRunning(children, work)).figures
    } finally {
      await close()
    }
  },
}

const besideBulk: Start = {
  kind: 'start',
  name: 'beside-bulk',
  title: 'a quiet port beside bulk data on another one',
  load: `${QUIET[0]} requests a second, while iperf3 sends on another port of the same proxy, if it serves several`,
  figures: [
    { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
    { key: 'p50', title: 'p50', unit: 'µs', better: 'less' },
  ],
  seconds: (load) => load + 2,
  missing: () => missingBackend('http') ?? missingBackend('bulk'),
  suits: (peer) => [original, native, streams, proxyd].includes(peer),
  async measure(bed) {
    const { site, backends, seconds } = bed
    const [quietPort = 0, bulkPort = 0] = await freePorts(2)
    const quiet = await startPeers(bed, [quietPort], await backends.port('http'))
    const bulk = await startPeers(bed, [bulkPort], await backends.port('bulk'))
    const sender = startChild(endlessBulk(site, bulkPort))
    try {
      const all = [...quiet.children, ...bulk.children, sender]
      const { p50 = NaN, p99 = NaN } = await whileRunning(all, () =>
        runLoad(site, 'rate', quietPort, seconds, ...QUIET),
      )
      return { p50, p99 }
    } finally {
      await stopChild(sender)
      await Promise.all([quiet.close(), bulk.close()])
    }
  },
}

export const NEIGHBOURS: readonly Start[] = [besideIdle, besideBulk]
