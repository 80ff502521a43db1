import type { CommandModule } from 'yargs'
import type { IsolationChoice } from '../../controller/isolation.js'
import type { PublicationRequest } from '../../controller/publication-request.js'
import { openClient, withClient, withFormat, withPublication, type ClientArgs } from '../options.js'
import { printEach, printJson } from '../output.js'
import { formatPorts } from '../ports-column.js'

interface Args extends ClientArgs {
  publish: string[]
  name: string | undefined
  isolation: IsolationChoice
  backend: string
  format: 'table' | 'json'
}

export const addCommand: CommandModule<object, Args> = {
  command: 'add <backend>',
  describe: 'Publish ports of a container through the daemon',
  builder: (yargs) =>
    withFormat(withPublication(withClient(yargs)))
      .example('$0 add -p 8080:80 --name web_svr01 172.17.0.2', 'port 8080 on all addresses')
      .example('$0 add -p 127.0.0.1::53/udp 172.17.0.2', 'a free port on one address'),
  handler: async (args) => {
    const publication = await openClient(args).add(publicationRequest(args))
    if (args.format === 'json') await printJson(publication)
    else await printEach([`${publication.name}: ${formatPorts(publication.ports)}`])
  },
}

/** The request of `add` and `run`. */
export function publicationRequest({
  publish,
  name,
  isolation,
  backend,
}: Pick<Args, 'publish' | 'name' | 'isolation' | 'backend'>): PublicationRequest {
  return { backend, ports: publish, isolation, ...(name === undefined ? {} : { name }) }
}
