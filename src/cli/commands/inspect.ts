import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import type { DockerPortView, PublicationView } from '../../controller/views.js'
import { Refusal } from '../../ports/refusal.js'
import { formatHostPort, joinHostPort } from '../../ports/host-port.js'
import { checkTemplate, formatTemplate, type TemplateRow } from '../go-template.js'
import { openClient, withClient, withTemplate, type ClientArgs } from '../options.js'
import { print, printJson } from '../output.js'

interface Args extends ClientArgs {
  names: string[]
  format: string
}

type ListedPort = Pick<DockerPortView, 'protocol' | 'hostIp' | 'hostPort'>

const EXAMPLE = '{{.name}}'

export const inspectCommand: CommandModule<object, Args> = {
  command: 'inspect <names..>',
  describe: 'Show the details of publications, as JSON',
  builder: (yargs) =>
    withTemplate(withClient(yargs), { formats: ['json'], example: EXAMPLE })
      .positional('names', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'publications, or ports as 0.0.0.0:8080/tcp, those of dockerd too',
      })
      .example('$0 inspect web_svr01', 'ports, proxies, restarts, connections')
      .example('$0 inspect 0.0.0.0:8080/tcp', 'the publication of a port, or a port of dockerd'),
  handler: async (args) => {
    const client = openClient(args)
    const found = await Promise.all(args.names.map((name) => find(client, name, args.$0)))
    if (args.format === 'json') return printJson(found)
    const rows = found.map((each): TemplateRow => ({ ...each }))
    const fields = [...new Set(rows.flatMap(Object.keys))]
    checkTemplate(args.format, EXAMPLE, fields)
    await print(formatTemplate(args.format, rows, fields))
  },
}

/** Finds a publication by its name or one of its ports, else a port of dockerd. */
async function find(
  client: Client,
  name: string,
  program: string,
): Promise<PublicationView | DockerPortView> {
  try {
    return await client.get(name)
  } catch (err) {
    if (!(err instanceof Refusal && err.code === 'no-such-publication')) throw err
    const isNamed = (port: ListedPort): boolean => [nameOf(port), addressOf(port)].includes(name)
    const publication = (await client.list()).find(({ ports }) => ports.some(isNamed))
    if (publication) return publication
    const ports = await client.dockerPorts().catch((noAnswer: unknown) => {
      throw noAnswer instanceof Refusal
        ? new Refusal(err.code, `${err.message}; ${noAnswer.message}`)
        : noAnswer
    })
    const port = ports.find(isNamed)
    if (port) return port
    if (ports.length === 0) throw err
    const hint = `it is not a port of dockerd either: ${program} ls --all lists them`
    throw new Refusal(err.code, `${err.message}; ${hint}`)
  }
}

/** Without a protocol, TCP is meant. */
function addressOf({ hostIp, hostPort, protocol }: ListedPort): string | undefined {
  return protocol === 'tcp' ? joinHostPort(hostIp, hostPort) : undefined
}

function nameOf({ hostIp, hostPort, protocol }: ListedPort): string {
  return formatHostPort({ protocol, ip: hostIp, port: hostPort })
}
