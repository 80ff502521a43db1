import type { CommandModule } from 'yargs'
import type { PortView } from '../../controller/api/types.js'
import { Refusal } from '../../controller/conflict.js'
import { joinHostPort } from '../../proxy/published-port.js'
import { openClient, withClient, withFormat, type ClientOptions } from '../options.js'
import { print, printJson } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientOptions {
  name: string
  port: string | undefined
  format: 'table' | 'json'
}

export const portCommand: CommandModule<object, Args> = {
  command: 'port <name> [port]',
  describe: 'Show where the ports of a publication can be reached',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('name', { type: 'string', demandOption: true, describe: 'the publication' })
      .positional('port', { type: 'string', describe: 'a container port, as 80 or 53/udp' })
      .example('$0 port web_svr01 80/tcp', 'as docker port prints it'),
  handler: async (args) => {
    const { ports } = await openClient(args).get(args.name)
    const wanted = args.port === undefined ? ports : ports.filter(matcher(args.port))
    if (wanted.length === 0) {
      throw new Refusal(
        'no-such-port',
        `no public port '${args.port ?? ''}' published for ${args.name}`,
      )
    }
    if (args.format === 'json') return await printJson(wanted)
    // With a port docker prints the host's side alone.
    const line = ({ protocol, hostIp, hostPort, containerPort }: PortView): string =>
      (args.port === undefined ? `${containerPort}/${protocol} -> ` : '') +
      joinHostPort(hostIp, hostPort)
    await print(wanted.map(line).join('\n'))
  },
}

/** `80` stands for TCP, as with docker. */
function matcher(text: string): (port: PortView) => boolean {
  const [, number, protocol = 'tcp'] = /^(\d+)(?:\/(tcp|udp|sctp))?$/.exec(text) ?? []
  if (number === undefined) {
    throw new UsageError(`invalid port ${JSON.stringify(text)}: expected one as 80 or 53/udp`)
  }
  return (port) => port.containerPort === Number(number) && port.protocol === protocol
}
