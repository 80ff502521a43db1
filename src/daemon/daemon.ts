import type { Server } from 'node:http'
import { resolve } from 'node:path'
import { formatHost, type Host } from '../api/host.js'
import { isOpen, serve, type Authentication } from '../api/listen.js'
import { createApi } from '../api/server.js'
import { Controller } from '../controller/controller.js'
import { listDockerPorts } from '../controller/docker-ports.js'
import { EngineWarnings } from '../controller/engine-warnings.js'
import { StateFile } from '../controller/state-file.js'
import { deferred } from '../deferred.js'
import { Containers } from '../docker/containers.js'
import { findEngineHost } from '../docker/engine-host.js'
import { isWildcard } from '../linux/sockets/ip-address.js'
import { isOwnAddress } from '../linux/sockets/own-addresses.js'
import { lockFolder } from '../linux/folder-lock.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Log } from '../log/log.js'
import type { StderrLog } from '../log/stderr-log.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import type { Proxyd } from '../proxyd/proxyd.js'
import type { ProxyProgram } from '../supervisor/proxy-program.js'
import type { Exposition } from '../metrics/exposition.js'

export interface DaemonOptions {
  /** The name of the program in messages. */
  readonly name: string
  /** Where the API is served. */
  readonly hosts: readonly Host[]
  readonly authentication: Authentication
  /** The group that may use unix sockets; undefined for the group of the process. */
  readonly groupId: number | undefined
  /** Folder of the state file. */
  readonly dataRoot: string
  /** Folder of the running processes. */
  readonly execRoot: string
  /** Leave the processes running at the end, for the next daemon. */
  readonly liveRestore: boolean
  /** The host IP of ports that name none; undefined for all addresses. */
  readonly defaultIp: string | undefined
  readonly program: ProxyProgram
  /** Run folder of docker-proxyd, this process or another one; undefined for a user without XDG_RUNTIME_DIR. */
  readonly proxydRunDir: string | undefined
  /** Whether this process also is a docker-proxyd, which serves dockerd's ports. */
  readonly servesDockerPorts: boolean
  /** Where metrics are served; undefined for nowhere. */
  readonly metrics: SocketAddress | undefined
  readonly log: StderrLog
}

/**
 * Runs a daemon until `stop` resolves: the controller, its API and, if requested, a docker-proxyd in one process.
 * @param stop resolves with the signal that ends the daemon
 * Rejects with a sentence for the user if the daemon can't start.
 */
export async function runDaemon(
  options: DaemonOptions,
  stop: Promise<NodeJS.Signals>,
): Promise<void> {
  const { name, dataRoot, execRoot, hosts, log, program, proxydRunDir } = options
  const state = new StateFile(dataRoot, `${name} daemon`)
  if (resolve(execRoot) !== resolve(dataRoot)) {
    lockFolder(execRoot, `${name} daemon`, '--exec-root')
  }
  const proxyd = options.servesDockerPorts ? await startProxyd(proxydRunDir, log) : undefined
  const containers = new Containers(() => findEngineHost(process.env), log)
  const controller = new Controller({
    ...{ program, log, state, runFolder: execRoot, containers },
    ...(options.defaultIp === undefined ? {} : { defaultIp: options.defaultIp }),
  })
  const warnings = new EngineWarnings(containers, log)
  const { defaultIp } = options
  if (defaultIp !== undefined && !isWildcard(defaultIp) && !isOwnAddress(defaultIp)) {
    log.warn(
      `--default-ip ${defaultIp} is not an address of this host: ports without a host IP can't be published`,
    )
  }
  logEvents(controller, log)
  process.on('SIGHUP', () => void controller.readSettingsAgain())

  const api = await createApi(controller, log, proxydRunDir)
  // Clients that come before everything is restored have to wait. A host that can't be used must be noticed before a process is started.
  const restored = deferred()
  // First: an address that is taken must leave no socket file behind.
  const metrics =
    options.metrics &&
    (await startMetrics(options.metrics, controller, proxydRunDir, restored.promise, log))
  const servers = await serve(
    (request, response) => {
      // The reply to a change is computed after its event, and needs code whose memory was released.
      if (request.method !== 'GET') response.once('close', releaseMemorySoon)
      void restored.promise.then(() => api.routing(request, response))
    },
    hosts,
    options.authentication,
    options.groupId,
  )
  if (metrics) servers.push(metrics)
  await controller.restore()
  containers.start()
  restored.resolve()
  tidyUpAfterEvents(controller, proxyd)
  warnOfOpenHosts(options)
  log.info(`Daemon listens on ${hosts.map(formatHost).join(', ')}`)

  const signal = await stop
  containers.close()
  warnings.close()
  for (const server of servers) {
    server.close()
    server.closeAllConnections()
  }
  if (options.liveRestore) await controller.leave()
  else await controller.close()
  await proxyd?.close()
  log.info('Daemon stopped', { signal })
}

/**
 * Serves the metrics of all publications, and of all ports of dockerd. Their library is loaded only here.
 * @param ready resolves when the publications of an earlier daemon are there
 */
async function startMetrics(
  address: SocketAddress,
  controller: Controller,
  proxydRunDir: string | undefined,
  ready: Promise<void>,
  log: Log,
): Promise<Server> {
  const [{ serveMetrics }, { exposeMetrics }] = await Promise.all([
    import('../metrics/metrics-server.js'),
    import('../metrics/exposition.js'),
  ])
  const expose = async (): Promise<Exposition> => {
    await ready
    // The publications count, also while a docker-proxyd does not answer.
    const dockerPorts = listDockerPorts(proxydRunDir, controller.containers).catch(() => [])
    return exposeMetrics(await controller.list(), await dockerPorts)
  }
  return serveMetrics(address, expose, log)
}

/** Serves dockerd's ports as docker-proxyd does. Its code is loaded only here. */
async function startProxyd(runDir: string | undefined, log: StderrLog): Promise<Proxyd> {
  if (runDir === undefined) {
    throw new Error('there is no XDG_RUNTIME_DIR: name a folder with --proxyd-run-dir')
  }
  const [{ openProxyd }, { readSettings, refuseUser }] = await Promise.all([
    import('../proxyd/open-proxyd.js'),
    import('../proxy/settings.js'),
  ])
  // Another daemon or a docker-proxyd can replace it, but it does not replace itself.
  process.on('SIGUSR2', () => log.warn('SIGUSR2 is ignored: to replace this process, restart it'))
  const settings = readSettings(process.env)
  refuseUser(process.env, 'a daemon with --proxyd')
  const proxyd = await openProxyd(runDir, settings, log, { option: '--proxyd-run-dir' })
  log.info(`Serves the ports of docker-proxies, in ${runDir}`)
  return proxyd
}

function warnOfOpenHosts({ hosts, authentication, log }: DaemonOptions): void {
  if (!isOpen(authentication)) return
  for (const host of hosts.filter(({ kind }) => kind === 'tcp')) {
    log.warn(
      `Every local user can publish ports with the rights of this daemon on ${formatHost(host)}`,
    )
  }
}

function logEvents(controller: Controller, log: Log): void {
  controller.on('event', ({ type, publication, port, reason, backend }) => {
    // The supervisor has a line for the end of a proxy.
    if (type === 'proxy-exited' || type === 'proxy-restarted') return
    const fields = { publication, port, reason, backend }
    if (type === 'refused') log.error("Can't publish what labels ask for", fields)
    else log.info(type, fields)
  })
}

/** After each change the descriptor budget is measured again, and unused memory is released. */
function tidyUpAfterEvents(controller: Controller, proxyd: Proxyd | undefined): void {
  const tidyUp = (): void => {
    proxyd?.descriptorsChanged()
    releaseMemorySoon()
  }
  controller.on('event', tidyUp)
  tidyUp()
}
