import { whileRunning } from '../child.js'
import { native, original } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { freePorts } from '../ports.js'
import type { Bed, Start } from '../scenario.js'
import { startPeers } from '../start-peers.js'
import { missingWrk, runWrk } from '../wrk.js'

/*
 * Several ports at once: one proxy for each, as dockerd starts them, and one docker-proxyd for all.
 */

const PORTS = 8
const CONNECTIONS_OF_PORT = 8

/** @param isEach whether each request has a connection of its own */
async function requestsPerSecond(bed: Bed, isEach: boolean): Promise<number> {
  const { site, backends, seconds } = bed
  const backendPort = await backends.port('http')
  const ports = await freePorts(PORTS)
  const { children, close } = await startPeers(bed, ports, backendPort)
  try {
    const all = await whileRunning(children, () =>
      Promise.all(ports.map((port) => runWrk(site, port, CONNECTIONS_OF_PORT, seconds, isEach))),
    )
    return all.reduce((sum, { figures }) => sum + figures.rate, 0)
  } finally {
    await close()
  }
}

function eight(group: string, title: string, isEach: boolean): Start {
  return {
    kind: 'start',
    name: `${group}-${PORTS}-ports`,
    group,
    title: `${title}, through ${PORTS} ports at once`,
    load: `wrk, ${CONNECTIONS_OF_PORT} connections each`,
    figures: [{ key: 'rate', title: 'requests', unit: '/s', better: 'more' }],
    seconds: (load) => load + 0.7,
    missing: missingWrk,
    suits: (peer) => [original, native, proxyd].includes(peer),
    measure: async (bed) => ({ rate: await requestsPerSecond(bed, isEach) }),
  }
}

export const EIGHT: readonly Start[] = [
  eight('keepalive', 'HTTP keep-alive', false),
  eight('close', 'a connection for each request', true),
]
