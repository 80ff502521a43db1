import type { CommandModule } from 'yargs'
import type { DockerPortView, PublicationView } from '../../controller/api/types.js'
import type { Client } from '../../controller/client.js'
import { Refusal } from '../../controller/conflict.js'
import { joinHostPort } from '../../proxy/published-port.js'
import { openClient, withClient, type ClientOptions } from '../options.js'
import { printJson } from '../output.js'

interface Args extends ClientOptions {
  names: string[]
}

export const inspectCommand: CommandModule<object, Args> = {
  command: 'inspect <names..>',
  describe: 'Show all about publications, as JSON',
  builder: (yargs) =>
    withClient(yargs)
      .positional('names', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'of publications, or ports of dockerd as 0.0.0.0:8080/tcp',
      })
      .option('format', { choices: ['json'], default: 'json', describe: 'always JSON' })
      .example('$0 inspect web_svr01', 'ports, proxies, restarts, connections')
      .example('$0 inspect 0.0.0.0:8080/tcp', 'a port of dockerd, through docker-proxyd'),
  handler: async (args) => {
    const client = openClient(args)
    await printJson(await Promise.all(args.names.map((name) => find(client, name))))
  },
}

/** A publication of this name, or else a port of dockerd's. */
async function find(client: Client, name: string): Promise<PublicationView | DockerPortView> {
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
    const hint = "nor a port of dockerd's: docker-publish ls --all shows those"
    throw new Refusal(err.code, `${err.message}, ${hint}`)
  }
}

function nameOf({ hostIp, hostPort, protocol }: DockerPortView): string {
  return `${joinHostPort(hostIp, hostPort)}/${protocol}`
}
