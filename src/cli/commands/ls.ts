import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import { listDockerPorts } from '../../controller/docker-ports.js'
import type { DockerPortView, PublicationView } from '../../controller/views.js'
import { Containers } from '../../docker/containers.js'
import { findEngineHost } from '../../docker/engine-host.js'
import { StderrLog } from '../../log/stderr-log.js'
import { defaultRunFolder } from '../../proxyd/default-run-folder.js'
import { formatDuration } from '../../duration.js'
import { formatTemplate, isTemplate, type TemplateRow } from '../go-template.js'
import { formatPorts } from '../ports-column.js'
import { formatAll, formatBackend, formatPublications, formatStatus } from '../publication-table.js'
import {
  openClient,
  orWithoutDaemon,
  withClient,
  withTemplate,
  type ClientArgs,
} from '../options.js'
import { complain, print, printEach, printJson } from '../output.js'

interface Args extends ClientArgs {
  all: boolean
  quiet: boolean
  format: string
}

/** The longest wait for names of containers, milliseconds. */
const NAMES_TIMEOUT_MS = 1_000
/** Fields of a template, see docker ps. */
const FIELDS = [
  'Name',
  'Backend',
  'Ports',
  'Status',
  'Connections',
  'Uptime',
  'Created',
  'Isolation',
]

export const lsCommand: CommandModule<object, Args> = {
  command: 'ls',
  aliases: ['list', 'ps'],
  describe: 'List all publications',
  builder: (yargs) =>
    withTemplate(withClient(yargs), {
      ...{ formats: ['table', 'json'], fields: FIELDS, example: '{{.Name}}' },
    })
      .option('all', {
        alias: 'a',
        type: 'boolean',
        default: false,
        describe: 'also list the ports that dockerd has published',
      })
      .option('quiet', {
        alias: 'q',
        type: 'boolean',
        default: false,
        describe: 'print only the names of publications',
      })
      .example('$0 ls --format json', 'for programs')
      .example("$0 ls --format '{{.Name}}: {{.Ports}}'", `the fields: ${FIELDS.join(', ')}`),
  handler: async (args) => {
    const client = openClient(args)
    const publications = await list(args, client)
    if (args.quiet) return printEach(publications.map(({ name }) => name))
    if (isTemplate(args.format)) {
      return printLines(formatTemplate(args.format, publications.map(templateRow), FIELDS))
    }
    if (!args.all) {
      if (args.format === 'json') await printJson(publications)
      else await print(formatPublications(publications))
      return
    }
    let dockerPorts: DockerPortView[]
    try {
      dockerPorts = await orWithoutDaemon(
        args,
        () => client.dockerPorts(),
        async () => {
          const containers = await knownContainers()
          return listDockerPorts(defaultRunFolder(), containers).finally(() => containers.close())
        },
      )
    } catch (err) {
      // A table still shows our publications.
      if (args.format === 'table') await print(formatPublications(publications))
      throw err
    }
    if (args.format === 'json') return printJson({ publications, dockerPorts })
    await print(formatAll(publications, dockerPorts))
    if (dockerPorts.length === 0) complain(noDockerPorts(args.$0))
  },
}

/** The containers of this host, or none if no Docker Engine answers soon: their names are a help, and not needed. */
async function knownContainers(): Promise<Containers> {
  const log = StderrLog.open('', 'silent')
  const containers = new Containers(() => findEngineHost(process.env), log)
  containers.start()
  const timeout = new Promise((resolve) => setTimeout(resolve, NAMES_TIMEOUT_MS).unref())
  await Promise.race([containers.ready().catch(() => undefined), timeout])
  return containers
}

function templateRow(publication: PublicationView): TemplateRow {
  const { name, ports, created, isolation } = publication
  return {
    ...{ Name: name, Backend: formatBackend(publication), Ports: formatPorts(ports) },
    Status: formatStatus(publication),
    Connections: ports.reduce((sum, { connections }) => sum + connections, 0),
    Uptime: formatDuration(Date.now() - Date.parse(created)),
    ...{ Created: created, Isolation: isolation },
  }
}

/** Prints lines; nothing if there are none. */
async function printLines(text: string): Promise<void> {
  if (text !== '') await print(text)
}

/** All publications. Without a daemon there are none, which only `--all` accepts: it still has ports of dockerd to list. */
async function list(args: Args & { $0: string }, client: Client): Promise<PublicationView[]> {
  if (!args.all) return client.list()
  return orWithoutDaemon(
    args,
    () => client.list(),
    () => {
      complain(`${args.$0}: no daemon runs, so only ports of dockerd are listed`)
      return []
    },
  )
}

function noDockerPorts(program: string): string {
  return `${program}: no docker-proxy of dockerd runs here; with "userland-proxy": false dockerd starts none`
}
