import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import type { PortView } from '../../controller/views.js'
import { Refusal } from '../../ports/refusal.js'
import { joinHostPort } from '../../ports/host-port.js'
import { compareNaturally } from '../natural-order.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { printEach, printJson } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  name: string
  port: string | undefined
  format: 'table' | 'json'
}

export const portCommand: CommandModule<object, Args> = {
  command: 'port <name> [port]',
  describe: 'Show the host ports of a publication, or of a container',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('name', {
        type: 'string',
        demandOption: true,
        describe: 'the publication, or a container',
      })
      .positional('port', {
        type: 'string',
        describe: 'a container port, for example 80 or 53/udp',
      })
      .example('$0 port web_svr01 80/tcp', 'as docker port prints it'),
  handler: async (args) => {
    const ports = await portsOf(openClient(args), args.name)
    const wanted = args.port === undefined ? ports : ports.filter(matcher(args.port))
    if (wanted.length === 0) {
      const published = ports.map(({ containerPort, protocol }) => `${containerPort}/${protocol}`)
      throw new Refusal(
        'no-such-port',
        `no public port '${args.port ?? ''}' published for ${args.name}\npublished: ${[...new Set(published)].join(', ')}`,
      )
    }
    if (args.format === 'json') return await printJson(wanted)
    // With a port, docker prints only the host's side.
    const line = ({ protocol, hostIp, hostPort, containerPort }: ListedPort): string =>
      (args.port === undefined ? `${containerPort}/${protocol} -> ` : '') +
      joinHostPort(hostIp, hostPort)
    const lines = wanted.map(line)
    await printEach(args.port === undefined ? lines.sort(compareNaturally) : lines)
  },
}

type ListedPort = Pick<PortView, 'protocol' | 'hostIp' | 'hostPort' | 'containerPort'>

/**
 * The ports of a publication; without one of this name, those of a container, published by the engine or by us.
 * Rejects with Refusal if there is neither.
 */
async function portsOf(client: Client, name: string): Promise<readonly ListedPort[]> {
  try {
    const { ports, labelError } = await client.get(name)
    const published = ports.filter(({ state }) => state !== 'waiting')
    if (published.length > 0) return published
    const others = (await containerPorts(client, name)) ?? []
    if (others.length > 0) return others
    const why = labelError ?? `it waits for them: ${ports[0]?.reason ?? ''}`
    throw new Refusal('no-such-port', `${name} has no ports: ${why}`)
  } catch (err) {
    if (!(err instanceof Refusal && err.code === 'no-such-publication')) throw err
    const ports = await containerPorts(client, name)
    if (!ports) throw err
    return ports
  }
}

/** The published ports of a container; undefined if there is none of this name. */
async function containerPorts(client: Client, name: string): Promise<ListedPort[] | undefined> {
  const container = await client.container(name).catch(() => undefined)
  return container?.ports.flatMap(({ protocol, port: containerPort, published }) =>
    published.map(({ hostIp, hostPort }) => ({ protocol, hostIp, hostPort, containerPort })),
  )
}

/** `80` and `80/` mean `80/tcp`, as in docker. */
function matcher(text: string): (port: ListedPort) => boolean {
  const [, number, protocol = 'tcp'] = /^(\d+)(?:\/(tcp|udp|sctp)?)?$/.exec(text) ?? []
  if (number === undefined) {
    throw new UsageError(
      `invalid port ${JSON.stringify(text)}: expected a port, for example 80 or 53/udp`,
    )
  }
  return (port) => port.containerPort === Number(number) && port.protocol === protocol
}
