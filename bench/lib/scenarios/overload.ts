import { startChild, stopChild, whileRunning } from '../child.js'
import { MOST_CONNECTIONS } from '../most-connections.js'
import { native, original, streams } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { freePorts } from '../ports.js'
import type { Start } from '../scenario.js'
import { startPeers } from '../start-peers.js'
import { busyCommand, missingWrk } from '../wrk.js'
import { runLoad } from './messages.js'

const BUSY = Math.min(3_000, MOST_CONNECTIONS)
const NEW_CLIENTS = 200
/** Requests a second of the quiet port, and its connections. */
const QUIET = [200, 2] as const
/** Time until all busy connections are open, seconds. */
const SETTLE = 3

/** Whether new clients and quiet ports get their turn beside busy connections. */
const overload: Start = {
  kind: 'start',
  name: 'overload',
  title: `${BUSY} busy connections on one port`,
  load: `wrk; meanwhile ${NEW_CLIENTS} new clients of that port at once, and ${QUIET[0]} requests a second on a quiet port of the same proxy, if it serves several`,
  figures: [
    { key: 'new50', title: 'new clients p50', unit: 'µs', better: 'less' },
    { key: 'quiet99', title: 'quiet port p99', unit: 'µs', better: 'less' },
  ],
  seconds: (load) => 2 * load + SETTLE + 3,
  missing: missingWrk,
  suits: (peer) => [original, native, streams, proxyd].includes(peer),
  async measure(bed) {
    const { site, backends, seconds } = bed
    const backendPort = await backends.port('http')
    const [busyPort = 0, quietPort = 0] = await freePorts(2)
    const { children, close } = await startPeers(bed, [busyPort, quietPort], backendPort)
    const busy = startChild(busyCommand(site, busyPort, BUSY))
    try {
      return await whileRunning([...children, busy], async () => {
        await new Promise((done) => setTimeout(done, SETTLE * 1000))
        const { p50: new50 = NaN } = await runLoad(site, 'first-answer', busyPort, NEW_CLIENTS)
        const { p99: quiet99 = NaN } = await runLoad(site, 'rate', quietPort, seconds, ...QUIET)
        return { new50, quiet99 }
      })
    } finally {
      await stopChild(busy)
      await close()
    }
  },
}

export const OVERLOAD: readonly Start[] = [overload]
