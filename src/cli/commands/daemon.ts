import type { CommandModule } from 'yargs'
import { parseHost } from '../../api/host.js'
import { openToken } from '../../api/token.js'
import type { LogFormat, LogLevel } from '../../log/log.js'
import { parseIp } from '../../linux/sockets/ip-address.js'
import { parseAddress } from '../../linux/sockets/parse-address.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import { ignoreHangup, stopSignal } from '../../linux/signals.js'
import { keepYoungGenerationSmall } from '../../memory/heap.js'
import { defaultRunFolder } from '../../proxyd/default-run-folder.js'
import { engineOfEnvironment } from '../engine-of-environment.js'
import { environmentSetting } from '../environment.js'
import { groupId } from '../group-id.js'
import { findProxyProgram } from '../find-proxy-program.js'
import {
  openLog,
  tlsFiles,
  tokenFileOf,
  withAuthentication,
  withProxy,
  type ClientArgs,
} from '../options.js'
import { defaultPaths } from '../paths.js'
import { UsageError } from '../usage-error.js'

interface Args extends Omit<ClientArgs, 'host'> {
  host: string[]
  'data-root': string
  'exec-root': string
  'default-ip': string | undefined
  'live-restore': boolean
  'proxyd-run-dir': string | undefined
  insecure: boolean
  group: string | undefined
  proxyd: boolean
  metrics: string | undefined
  'proxy-path': string | undefined
  'log-level': LogLevel | undefined
  'log-format': LogFormat | undefined
}

export const daemonCommand: CommandModule<object, Args> = {
  command: 'daemon',
  describe: 'Publish ports for clients of the API',
  builder: (yargs) =>
    withProxy(withAuthentication(yargs))
      .option('host', {
        alias: 'H',
        type: 'string',
        requiresArg: true,
        default: environmentSetting('DOCKER_PUBLISH_HOST') ?? defaultPaths().host,
        defaultDescription: defaultPaths().host,
        describe:
          'where to listen: unix:///PATH, tcp://IP:PORT, fd://; may be repeated [DOCKER_PUBLISH_HOST]',
        coerce: (value: string | string[]) => [value].flat(),
      })
      .option('group', {
        type: 'string',
        requiresArg: true,
        describe: 'group that may use the unix socket, a name or a number',
      })
      .option('insecure', {
        type: 'boolean',
        default: false,
        describe: 'serve tcp:// on loopback addresses to every local user, without a token or TLS',
      })
      .option('data-root', {
        type: 'string',
        requiresArg: true,
        default: defaultPaths().dataRoot,
        describe: 'folder of the state file',
      })
      .option('exec-root', {
        type: 'string',
        requiresArg: true,
        default: defaultPaths().execRoot,
        describe: 'folder of the running processes',
      })
      .option('default-ip', {
        type: 'string',
        requiresArg: true,
        describe: 'host IP of ports that name none, for example 127.0.0.1; by default all',
      })
      .option('live-restore', {
        type: 'boolean',
        default: false,
        describe: 'leave the proxies running when the daemon is stopped, for the next one',
      })
      .option('proxyd', {
        type: 'boolean',
        default: false,
        describe: 'also serve the ports that dockerd publishes, as docker-proxyd does',
      })
      .option('proxyd-run-dir', {
        type: 'string',
        requiresArg: true,
        default: defaultRunFolder(),
        describe: 'run folder of docker-proxyd, this process or another [DOCKER_PROXY_RUN_DIR]',
      })
      .option('metrics', {
        type: 'string',
        requiresArg: true,
        describe: 'IP:PORT on which to serve metrics to Prometheus [DOCKER_PUBLISH_METRICS]',
      })
      .example('$0 daemon --live-restore', 'ports stay up while the daemon is upgraded')
      .example(
        '$0 daemon -H fd:// -H tcp://127.0.0.1:2385 --token-file /etc/docker-publish.token',
        "systemd's sockets, and one for clients with the token",
      ),
  handler: async (args) => {
    keepYoungGenerationSmall()
    const stop = stopSignal()
    const log = openLog(args.$0, args)
    ignoreHangup(() => undefined)
    const hosts = args.host.map(parseHost)
    const tokenFile = tokenFileOf(args)
    const authentication = {
      tls: tlsFiles(args),
      token: tokenFile === undefined ? undefined : openToken(tokenFile),
      isInsecure: args.insecure,
    }
    // The daemon waits for an engine that is away, but an invalid setting never becomes valid.
    engineOfEnvironment()
    const program = await findProxyProgram(args['proxy-path'])
    if (args.proxyd && args['proxyd-run-dir'] === undefined) {
      throw new UsageError('there is no XDG_RUNTIME_DIR: name a folder with --proxyd-run-dir')
    }
    if (args['proxyd-run-dir'] === '') throw new UsageError('--proxyd-run-dir "": name a folder')
    // Most of this program, and unused by all other commands.
    const { runDaemon } = await import('../../daemon/daemon.js')
    const options = {
      ...{ hosts, authentication, program, groupId: groupId(args.group), log, name: args.$0 },
      dataRoot: args['data-root'],
      execRoot: args['exec-root'],
      liveRestore: args['live-restore'],
      defaultIp: parseDefaultIp(args['default-ip']),
      proxydRunDir: args['proxyd-run-dir'],
      servesDockerPorts: args.proxyd,
      metrics: parseMetricsAddress(args.metrics ?? environmentSetting('DOCKER_PUBLISH_METRICS')),
    }
    await runDaemon(options, stop)
    await log.flush()
    process.exit()
  },
}

/** @throws UsageError */
function parseMetricsAddress(text: string | undefined): SocketAddress | undefined {
  if (text === undefined) return undefined
  const address = parseAddress(text)
  if (address) return address
  throw new UsageError(
    `invalid --metrics ${JSON.stringify(text)}: expected IP:PORT, for example 127.0.0.1:9464`,
  )
}

/** @throws UsageError */
function parseDefaultIp(text: string | undefined): string | undefined {
  const ip = text === undefined ? undefined : parseIp(text)
  if (ip !== undefined || text === undefined) return ip
  throw new UsageError(
    `invalid --default-ip ${JSON.stringify(text)}: expected an IP address of this host, for example 127.0.0.1`,
  )
}
