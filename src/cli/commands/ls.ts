import type { CommandModule } from 'yargs'
import type { DockerPortView } from '../../controller/api/types.js'
import { formatAll, formatPublications } from '../publication-table.js'
import { openClient, withClient, withFormat, type ClientOptions } from '../options.js'
import { print, printJson } from '../output.js'

interface Args extends ClientOptions {
  all: boolean
  format: 'table' | 'json'
}

const NO_DOCKER_PORTS =
  "docker-publish: none of dockerd's ports goes through a docker-proxyd; see docker-publish install-userland-proxy\n"

export const lsCommand: CommandModule<object, Args> = {
  command: 'ls',
  aliases: ['list', 'ps'],
  describe: 'List all that is published',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .option('all', {
        alias: 'a',
        type: 'boolean',
        default: false,
        describe: 'also what dockerd has published through docker-proxyd',
      })
      .example('$0 ls --format json', 'for programs'),
  handler: async (args) => {
    const client = openClient(args)
    const publications = await client.list()
    if (!args.all) {
      if (args.format === 'json') await printJson(publications)
      else await print(formatPublications(publications))
      return
    }
    let dockerPorts: DockerPortView[]
    try {
      dockerPorts = await client.dockerPorts()
    } catch (err) {
      // In a table ours are to be seen all the same.
      if (args.format === 'table') await print(formatPublications(publications))
      throw err
    }
    if (args.format === 'json') return printJson({ publications, dockerPorts })
    await print(formatAll(publications, dockerPorts))
    if (dockerPorts.length === 0) process.stderr.write(NO_DOCKER_PORTS)
  },
}
