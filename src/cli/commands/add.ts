import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import type { WhenStopped } from '../../controller/following.js'
import type { IsolationChoice } from '../../controller/isolation.js'
import type { PublicationRequest } from '../../controller/publication-request.js'
import { VIA, type Via } from '../../controller/via.js'
import type { PublicationView } from '../../controller/views.js'
import { EngineHostError, formatEngineHost, refuseRemoteEngine } from '../../docker/engine-host.js'
import { Refusal } from '../../ports/refusal.js'
import {
  openClient,
  portOptionsOf,
  withClient,
  withFormat,
  withOptionalPublish,
  withPublication,
  type ClientArgs,
} from '../options.js'
import { composeProject } from '../compose-project.js'
import { engineOfEnvironment } from '../engine-of-environment.js'
import { reportContainer } from '../container-report.js'
import { print, printEach, printJson } from '../output.js'
import { formatPorts } from '../ports-column.js'
import { Progress } from '../progress.js'
import { UsageError } from '../usage-error.js'

/** The options of a new publication. */
export interface PublicationArgs {
  publish: string[]
  name: string | undefined
  isolation: IsolationChoice
  network: string | undefined
  'when-stopped': WhenStopped
  keep: boolean
  'address-only': boolean
  file: string[] | undefined
  'project-name': string | undefined
  container: string
}

interface Args extends ClientArgs, Omit<PublicationArgs, 'publish'> {
  via: Via
  publish: string[] | undefined
  all: boolean | undefined
  'publish-all': boolean | undefined
  format: 'table' | 'json'
}

export const addCommand: CommandModule<object, Args> = {
  command: 'add <container>',
  describe: 'Publish ports of a container through the daemon',
  builder: (yargs) =>
    withFormat(withPublication(withOptionalPublish(withClient(yargs))))
      .option('all', {
        type: 'boolean',
        describe: 'publish each port that the image exposes, on the same port of the host',
      })
      .option('publish-all', {
        alias: 'P',
        type: 'boolean',
        describe: 'publish each port that the image exposes, on a free port of the host',
      })
      .option('via', {
        choices: VIA,
        requiresArg: true,
        default: 'proxy' as const,
        describe:
          "proxy: through a process; nat: the kernel translates, as for dockerd's ports, and the container sees the client's address",
      })
      .conflicts({ all: ['publish', 'publish-all'], 'publish-all': 'publish' })
      .example('$0 add -p 8080:80 web_svr01', 'port 8080 on all addresses')
      .example(
        '$0 add -p 8080:80 --when-stopped hold shop/web',
        'all replicas of a compose service',
      )
      .example('$0 add -p 127.0.0.1::53/udp 172.17.0.2', 'a free port on one address')
      .example('$0 add web_svr01', 'show its ports, and publish nothing'),
  handler: async (given) => {
    const args = { ...given, container: await containerOf(given) }
    const client = openClient(args)
    const publish = args.publish ?? (await exposedPorts(client, args))
    if (!publish) return showContainer(client, args, args.$0)
    const request = {
      ...publicationRequest({ ...args, publish }),
      ...(args.via === 'nat' ? { via: args.via } : {}),
      ...(await meantEngine(args.container)),
    }
    const progress = new Progress('ports served')
    const publication = await client
      .add(request, process.stderr.isTTY ? (...done) => progress.show(...done) : undefined)
      .finally(() => progress.clear())
    if (args.format === 'json') await printJson(publication)
    else await printEach([describeAdded(publication)])
  },
}

/**
 * The ports that `--all` or `-P` stand for; undefined without either.
 * Rejects with Refusal if the container exposes none.
 */
async function exposedPorts(client: Client, args: Args): Promise<string[] | undefined> {
  if (!args.all && !args['publish-all']) return undefined
  const { name, ports } = await client.container(args.container)
  const exposed = ports.filter(({ isExposed }) => isExposed)
  if (exposed.length === 0) {
    throw new Refusal('no-such-port', `${name} exposes no ports: name them, for example -p 8080:80`)
  }
  return exposed.map(({ port, protocol }) => `${args.all ? `${port}:` : ''}${port}/${protocol}`)
}

/** Options that are for ports to publish, and whether they are given. */
const OF_PORTS: Readonly<Record<string, (args: Args) => boolean>> = {
  '--keep': ({ keep }) => keep,
  '--via': ({ via }) => via !== 'proxy',
  '--name': ({ name }) => name !== undefined,
  '--network': ({ network }) => network !== undefined,
  '--when-stopped': (args) => args['when-stopped'] !== 'refuse',
  '--isolation': ({ isolation }) => isolation !== 'auto',
  '--address-only': (args) => args['address-only'],
}

/** Without ports, nothing is published. Rejects with UsageError for options of a publication. */
async function showContainer(client: Client, args: Args, program: string): Promise<void> {
  const [portOption] = Object.keys(portOptionsOf({ ...args }))
  const option =
    Object.keys(OF_PORTS).find((name) => OF_PORTS[name]?.(args)) ??
    (portOption === undefined ? undefined : `--${portOption}`)
  if (option) throw new UsageError(`${option} is for ports to publish: give -p, --all or -P`)
  const container = await client.container(args.container)
  if (args.format === 'json') await printJson(container)
  else await print(reportContainer(container, program))
}

/**
 * The engine that a name of a container belongs to, if the user chose one. The daemon may follow another one.
 * Rejects with Refusal if it is on another host, and with UsageError if the choice is invalid.
 */
async function meantEngine(container: string): Promise<Pick<PublicationRequest, 'engine'>> {
  const { DOCKER_HOST: host, DOCKER_CONTEXT: context } = process.env
  if (isAddress(container) || (!host && !context)) return {}
  const engine = engineOfEnvironment()
  await refuseRemoteEngine(engine).catch((err: unknown) => {
    throw err instanceof EngineHostError ? new Refusal('other-engine', err.message) : err
  })
  return { engine: formatEngineHost(engine) }
}

/** One line: the name of the publication, its ports, and the container or compose service that it follows. */
export function describeAdded({
  name,
  ports,
  container,
  backend,
  containerState,
}: PublicationView): string {
  const line = `${name}: ${formatPorts(ports)}`
  if (container === undefined) return line
  const where = backend === '' ? (containerState ?? 'unknown') : backend
  const kind = container.includes('/') ? 'service' : 'container'
  return `${line}, follows the ${kind} ${container} (${where})`
}

/** The container of `add` and `run`: with a compose file or project, a service of it. Rejects with UsageError. */
export async function containerOf({
  container,
  file: files = [],
  'project-name': projectName,
}: Pick<PublicationArgs, 'container' | 'file' | 'project-name'>): Promise<string> {
  const project = await composeProject({ files, projectName }, process.env)
  if (project === undefined) return container
  if (!isAddress(container) && !container.includes('/')) return `${project}/${container}`
  throw new UsageError(
    `${JSON.stringify(container)} is not a service of the compose project ${project}: give only the name of the service`,
  )
}

/** The request of `add` and `run`. @throws UsageError */
export function publicationRequest(args: PublicationArgs): PublicationRequest {
  const options = portOptionsOf({ ...args })
  const { container, publish, name, isolation, network, keep } = args
  return {
    ...(isAddress(container) ? { backend: container } : { container }),
    ...{ ports: publish, isolation, whenStopped: args['when-stopped'], keep },
    ...(args['address-only'] ? { addressOnly: true } : {}),
    ...(network === undefined ? {} : { network }),
    ...(name === undefined ? {} : { name }),
    ...(Object.keys(options).length > 0 ? { options } : {}),
  }
}

/** Whether a text was meant as an IP address: no name of a container has this form. */
export function isAddress(text: string): boolean {
  return text.includes(':') || /^[0-9]+(\.[0-9]*)+$/.test(text)
}
