import type { CommandModule } from 'yargs'
import type { WhenStopped } from '../../controller/following.js'
import type { IsolationChoice } from '../../controller/isolation.js'
import type { PublicationRequest } from '../../controller/publication-request.js'
import type { PublicationView } from '../../controller/views.js'
import { openClient, withClient, withFormat, withPublication, type ClientArgs } from '../options.js'
import { printEach, printJson } from '../output.js'
import { formatPorts } from '../ports-column.js'

/** The options of a new publication. */
export interface PublicationArgs {
  publish: string[]
  name: string | undefined
  isolation: IsolationChoice
  network: string | undefined
  'when-stopped': WhenStopped
  keep: boolean
  'address-only': boolean
  container: string
}

interface Args extends ClientArgs, PublicationArgs {
  format: 'table' | 'json'
}

export const addCommand: CommandModule<object, Args> = {
  command: 'add <container>',
  describe: 'Publish ports of a container through the daemon',
  builder: (yargs) =>
    withFormat(withPublication(withClient(yargs)))
      .example('$0 add -p 8080:80 web_svr01', 'port 8080 on all addresses')
      .example(
        '$0 add -p 8080:80 --when-stopped hold shop/web',
        'all replicas of a compose service',
      )
      .example('$0 add -p 127.0.0.1::53/udp 172.17.0.2', 'a free port on one address'),
  handler: async (args) => {
    const publication = await openClient(args).add(publicationRequest(args))
    if (args.format === 'json') await printJson(publication)
    else await printEach([describeAdded(publication)])
  },
}

/** One line: the name of the publication, its ports, and the container that it follows. */
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
  return `${line}, follows the container ${container} (${where})`
}

/** The request of `add` and `run`. */
export function publicationRequest(args: PublicationArgs): PublicationRequest {
  const { container, publish, name, isolation, network, keep } = args
  return {
    ...(isAddress(container) ? { backend: container } : { container }),
    ...{ ports: publish, isolation, whenStopped: args['when-stopped'], keep },
    ...(args['address-only'] ? { addressOnly: true } : {}),
    ...(network === undefined ? {} : { network }),
    ...(name === undefined ? {} : { name }),
  }
}

/** Whether a text was meant as an IP address: no name of a container has this form. */
export function isAddress(text: string): boolean {
  return text.includes(':') || /^[0-9]+(\.[0-9]*)+$/.test(text)
}
