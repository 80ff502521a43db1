import type { CommandModule } from 'yargs'
import { formatHost, parseHost } from '../../controller/api/host.js'
import { serve } from '../../controller/api/listen.js'
import type { Controller } from '../../controller/controller.js'
import { StateFile } from '../../controller/state-file.js'
import { openStderrLog, type Log, type LogLevel } from '../../log/log.js'
import { tlsFiles, withProxy, withTls, type ClientOptions } from '../options.js'
import { defaultPaths } from '../paths.js'
import { findProxyProgram, startController } from '../start-controller.js'
import { stopSignal } from '../stop-signal.js'

interface Args extends Omit<ClientOptions, 'host'> {
  host: string[]
  'data-root': string
  'exec-root': string
  'live-restore': boolean
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
        default: process.env['DOCKER_PUBLISH_HOST'] ?? defaultPaths().host,
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
      .example('$0 daemon', '')
      .example('$0 daemon -H fd:// -H tcp://127.0.0.1:2385', "systemd's sockets, and one more"),
  handler: async (args) => {
    const stop = stopSignal()
    const log = openStderrLog('docker-publish', args['log-level'])
    const hosts = args.host.map(parseHost)
    const tls = tlsFiles(args)
    const program = await findProxyProgram(args['proxy-path'])
    const state = new StateFile(args['data-root'])
    const controller = await startController({ program, log, state, runFolder: args['exec-root'] })
    tellEvents(controller, log)
    try {
      // The greater part of this program, and none of the other commands' business.
      const { createApi } = await import('../../controller/api/server.js')
      const api = await createApi(controller, log)
      const servers = await serve((req, res) => api.routing(req, res), hosts, tls)
      log.info(`Daemon listens on ${hosts.map(formatHost).join(', ')}`)
      const signal = await stop
      for (const server of servers) {
        server.close()
        server.closeAllConnections()
      }
      if (args['live-restore']) controller.leave()
      else await controller.close()
      log.info('Daemon stopped', { signal })
    } catch (err) {
      // Whatever was published before is the next daemon's.
      controller.leave()
      throw err
    }
    await log.flush()
    process.exit()
  },
}

function tellEvents(controller: Controller, log: Log): void {
  controller.on('event', ({ type, publication, port, reason }) => {
    log.info(type, { publication, port, reason })
  })
}
