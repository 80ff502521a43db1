import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import type { DockerPortView, PublicationView } from '../../controller/views.js'
import { Refusal } from '../../ports/refusal.js'
import { formatHostPort } from '../../ports/host-port.js'
import { openClient, withClient, type ClientArgs } from '../options.js'
import { printJson } from '../output.js'

interface Args extends ClientArgs {
  names: string[]
}

export const inspectCommand: CommandModule<object, Args> = {
  command: 'inspect <names..>',
  describe: 'Show the details of publications, as JSON',
  builder: (yargs) =>
    withClient(yargs)
      .positional('names', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'publications, or ports of dockerd as 0.0.0.0:8080/tcp',
      })
      .option('format', { choices: ['json'], default: 'json', describe: 'always JSON' })
      .example('$0 inspect web_svr01', 'ports, proxies, restarts, connections')
      .example('$0 inspect 0.0.0.0:8080/tcp', 'a port of dockerd that docker-proxyd serves'),
  handler: async (args) => {
    const client = openClient(args)
    await printJson(await Promise.all(args.names.map((name) => find(client, name, args.$0))))
  },
}

/** Finds a publication, else a port of dockerd. */
async function find(
  client: Client,
  name: string,
  program: string,
): Promise<PublicationView | DockerPortView> {
  try {
    return await client.get(name)
  } catch (err) {
    if (!(err instanceof Refusal && err.code === 'no-such-publication')) throw err
    const ports = await client.dockerPorts().catch((noAnswer: unknown) => {
      throw noAnswer instanceof Refusal
        ? new Refusal(err.code, `${err.message}; ${noAnswer.message}`)
        : noAnswer
    })
    const port = ports.find((each) => nameOf(each) === name)
    if (port) return port
    if (ports.length === 0) throw err
    const hint = `it is not a port of dockerd either: ${program} ls --all lists them`
    throw new Refusal(err.code, `${err.message}; ${hint}`)
  }
}

function nameOf({ hostIp, hostPort, protocol }: DockerPortView): string {
  return formatHostPort({ protocol, ip: hostIp, port: hostPort })
}
