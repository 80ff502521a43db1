import { resolve } from 'node:path'
import type { CommandModule } from 'yargs'
import { formatHost, parseHost } from '../../controller/api/host.js'
import { serve } from '../../controller/api/listen.js'
import { Controller } from '../../controller/controller.js'
import { keepYoungGenerationSmall } from '../../heap.js'
import { lockFolder } from '../../linux/folder-lock.js'
import { StderrLog, type Log, type LogLevel } from '../../log/log.js'
import { deferred } from '../../deferred.js'
import { tlsFiles, withProxy, withTls, type ClientOptions } from '../options.js'
import { defaultPaths } from '../paths.js'
import { findProxyProgram } from '../find-proxy-program.js'
import { stopSignal } from '../stop-signal.js'
import { UsageError } from '../usage-error.js'
import { tidyUpSoon } from '../../tidy-up.js'
import { defaultRunFolder } from '../../proxyd/default-run-folder.js'
import type { Proxyd } from '../../proxyd/proxyd.js'

interface Args extends Omit<ClientOptions, 'host'> {
  host: string[]
  'data-root': string
  'exec-root': string
  'live-restore': boolean
  'proxyd-run-dir': string | undefined
  proxyd: boolean
  'proxy-path': string | undefined
  'log-level': LogLevel
}

export const daemonCommand: CommandModule<object, Args> = {
  command: 'daemon',
  describe: 'Publish ports for whoever asks over the API',
  builder: (yargs) =>
    withProxy(withTls(yargs))
      .option('host', {
        alias: 'H',
        type: 'string',
        requiresArg: true,
        default: process.env['DOCKER_PUBLISH_HOST'] || defaultPaths().host,
        defaultDescription: defaultPaths().host,
        describe: 'where to listen: unix:///PATH, tcp://IP:PORT, fd://; may be repeated',
        coerce: (value: string | string[]) => [value].flat(),
      })
      .option('data-root', {
        type: 'string',
        requiresArg: true,
        default: defaultPaths().dataRoot,
        describe: 'folder of what is published',
      })
      .option('exec-root', {
        type: 'string',
        requiresArg: true,
        default: defaultPaths().execRoot,
        describe: 'folder of what is running',
      })
      .option('live-restore', {
        type: 'boolean',
        default: false,
        describe: 'leave the proxies running when the daemon is stopped, for the next one',
      })
      .option('proxyd', {
        type: 'boolean',
        default: false,
        describe: 'be a docker-proxyd as well: serve the ports that dockerd publishes',
      })
      .option('proxyd-run-dir', {
        type: 'string',
        requiresArg: true,
        default: defaultRunFolder(),
        describe: 'folder of docker-proxyd, this one or another [DOCKER_PROXY_RUN_DIR]',
      })
      .example('$0 daemon --live-restore', 'ports stay up while the daemon is upgraded')
      .example('$0 daemon -H fd:// -H tcp://127.0.0.1:2385', "systemd's sockets, and one more"),
  handler: async (args) => {
    keepYoungGenerationSmall()
    const stop = stopSignal()
    const log = StderrLog.open('docker-publish', args['log-level'])
    const hosts = args.host.map(parseHost)
    const tls = tlsFiles(args)
    const program = await findProxyProgram(args['proxy-path'])
    // The greater part of this program, and none of the other commands' business.
    const [{ createApi }, { StateFile }] = await Promise.all([
      import('../../controller/api/server.js'),
      import('../../controller/state-file.js'),
    ])
    const state = new StateFile(args['data-root'])
    if (resolve(args['exec-root']) !== resolve(args['data-root'])) {
      lockFolder(args['exec-root'], 'docker-publish daemon', '--exec-root')
    }
    const proxyd = args.proxyd ? await startProxyd(args['proxyd-run-dir'], log) : undefined
    const controller = new Controller({ program, log, state, runFolder: args['exec-root'] })
    tellEvents(controller, log)

    const api = await createApi(controller, log, args['proxyd-run-dir'])
    // Clients may come before everything is as it was, and wait: a host that can't be had must be found out before a
    // proxy is started.
    const restored = deferred()
    const servers = await serve(
      (request, response) => void restored.promise.then(() => api.routing(request, response)),
      hosts,
      tls,
    )
    await controller.restore()
    restored.resolve()
    const noteChange = (): void => {
      proxyd?.noteDescriptors()
      tidyUpSoon()
    }
    controller.on('event', noteChange)
    noteChange()
    log.info(`Daemon listens on ${hosts.map(formatHost).join(', ')}`)

    const signal = await stop
    for (const server of servers) {
      server.close()
      server.closeAllConnections()
    }
    if (args['live-restore']) await controller.leave()
    else await controller.close()
    await proxyd?.close()
    log.info('Daemon stopped', { signal })
    await log.flush()
    process.exit()
  },
}

/** One piece of code with docker-proxyd, and none of what other daemons load. */
async function startProxyd(runDir: string | undefined, log: StderrLog): Promise<Proxyd> {
  if (runDir === undefined) {
    throw new UsageError('there is no XDG_RUNTIME_DIR: name a folder with --proxyd-run-dir')
  }
  const [{ openProxyd }, { readSettings }] = await Promise.all([
    import('../../proxyd/open-proxyd.js'),
    import('../../proxy/settings.js'),
  ])
  // It is replaced with the daemon, or by a docker-proxyd.
  process.on('SIGUSR2', () => log.warn('To be replaced, this one is to be restarted'))
  const settings = readSettings(process.env)
  const proxyd = await openProxyd(runDir, settings, log, { option: '--proxyd-run-dir' })
  log.info(`Serves the ports of docker-proxies, in ${runDir}`)
  return proxyd
}

function tellEvents(controller: Controller, log: Log): void {
  controller.on('event', ({ type, publication, port, reason }) => {
    log.info(type, { publication, port, reason })
  })
}
