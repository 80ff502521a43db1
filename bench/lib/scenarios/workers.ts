import { startChild, startReady, stopChild, whileRunning } from '../child.js'
import { flagsOf } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { builtProgram } from '../places.js'
import { freePort } from '../ports.js'
import { statusReady } from '../ready.js'
import type { Bed, Start } from '../scenario.js'
import { scratchPath } from '../scratch.js'
import { missingWrk, runWrk } from '../wrk.js'

/*
 * How much a second thread helps one busy port.
 */

const CONNECTIONS = 64
const WORKERS = [1, 2] as const
/** Time after which a second thread has started, seconds. */
const RAMP_SECONDS = 1

async function requestsPerSecond(bed: Bed, workers: number, isEach: boolean): Promise<number> {
  const { site, backends, seconds } = bed
  const backendPort = await backends.port('http')
  const port = await freePort()
  const folder = scratchPath(`workers-${port}`)
  const command = site.proxy(
    ...([builtProgram('docker-proxyd'), '--run-dir', folder] as const),
    ...['--workers', String(workers)],
  )
  const server = await startReady(command, 'docker-proxyd does not start')
  try {
    const flags = flagsOf({ protocol: 'tcp', port, backendPort }, site)
    const launcher = startChild(site.proxy(builtProgram('docker-proxy'), ...flags), {
      DOCKER_PROXY_RUN_DIR: folder,
      DOCKER_PROXY_ISOLATION: 'shared',
    })
    try {
      await statusReady(launcher)
      return await whileRunning([server, launcher], async () => {
        await runWrk(site, port, CONNECTIONS, RAMP_SECONDS, isEach)
        const { figures } = await runWrk(site, port, CONNECTIONS, seconds, isEach)
        return figures.rate
      })
    } finally {
      await stopChild(launcher)
    }
  } finally {
    await stopChild(server)
  }
}

const workers: Start = {
  kind: 'start',
  name: 'workers',
  title: 'one busy port, with one thread and with two',
  load: `wrk, ${CONNECTIONS} connections`,
  figures: WORKERS.flatMap((count) => [
    {
      key: `keepalive${count}`,
      title: `keep-alive, ${count} thread${count === 1 ? '' : 's'}`,
      unit: '/s',
      better: 'more' as const,
    },
    {
      key: `close${count}`,
      title: `new connections, ${count} thread${count === 1 ? '' : 's'}`,
      unit: '/s',
      better: 'more' as const,
    },
  ]),
  seconds: (load) => 4 * (RAMP_SECONDS + load + 0.7),
  missing: missingWrk,
  suits: (peer) => peer === proxyd,
  async measure(bed) {
    const figures: Record<string, number> = {}
    for (const count of WORKERS) {
      figures[`keepalive${count}`] = await requestsPerSecond(bed, count, false)
      figures[`close${count}`] = await requestsPerSecond(bed, count, true)
    }
    return figures
  },
}

export const WORKERS_OF_A_PORT: readonly Start[] = [workers]
