import { join } from 'node:path'
import { missingBackend } from '../backends.js'
import { startChild, startReady, stopChild } from '../child.js'
import { flagsOf } from '../peers/docker-proxy.js'
import { proxyd } from '../peers/docker-proxyd.js'
import { builtProgram, loadProgram } from '../places.js'
import { freePort } from '../ports.js'
import { startPublishDaemon } from '../publish-daemon.js'
import { statusReady } from '../ready.js'
import type { Start } from '../scenario.js'
import { runLoad } from './messages.js'

/** Connections that are open and idle: a list of ports counts them. */
const OPEN = 5_000
const RATE = 1_000
const CONNECTIONS = 4

/** How long a request through a port takes while the daemon that serves the port answers expensive requests of its API. */
const besideApi: Start = {
  kind: 'start',
  name: 'api',
  isLocal: true,
  title: 'requests through a port of docker-publish daemon --proxyd, beside its API',
  load: `${RATE} HTTP requests a second, alone, and while 4 clients list all ports, check all ports and ask for a holder, without a pause; ${OPEN} connections are open`,
  figures: [
    { key: 'p99', title: 'p99', unit: 'µs', better: 'less' },
    { key: 'p50', title: 'p50', unit: 'µs', better: 'less' },
    { key: 'alone99', title: 'p99 alone', unit: 'µs', better: 'less' },
    { key: 'alone50', title: 'p50 alone', unit: 'µs', better: 'less' },
  ],
  seconds: (load) => 2 * load + 4,
  missing: () => missingBackend('http'),
  suits: (peer) => peer === proxyd,
  async measure({ site, backends, seconds }) {
    const runFolder = (folder: string): string => join(folder, 'proxyd')
    const daemon = await startPublishDaemon(site, (folder) => [
      ...['--proxyd', '--proxyd-run-dir', runFolder(folder)],
    ])
    const port = await freePort()
    const backendPort = await backends.port('http')
    const launcher = startChild(
      site.proxy(
        builtProgram('docker-proxy'),
        ...flagsOf({ protocol: 'tcp', port, backendPort }, site),
      ),
      { DOCKER_PROXY_RUN_DIR: runFolder(daemon.folder), DOCKER_PROXY_ISOLATION: 'shared' },
    )
    try {
      await statusReady(launcher)
      const alone = await runLoad(site, 'rate', port, seconds, RATE, CONNECTIONS)
      const hostile = await startReady(
        site.load(process.execPath, loadProgram('api'), daemon.socket, String(port), String(OPEN)),
        'the clients of the API have ended',
      )
      try {
        const beside = await runLoad(site, 'rate', port, seconds, RATE, CONNECTIONS)
        return {
          ...{ p99: beside['p99'] ?? NaN, p50: beside['p50'] ?? NaN },
          ...{ alone99: alone['p99'] ?? NaN, alone50: alone['p50'] ?? NaN },
        }
      } finally {
        await stopChild(hostile)
      }
    } finally {
      await stopChild(launcher)
      await daemon.close()
    }
  },
}

export const API: readonly Start[] = [besideApi]
