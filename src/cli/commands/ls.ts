import type { CommandModule } from 'yargs'
import type { DockerPortView } from '../../controller/views.js'
import { formatAll, formatPublications } from '../publication-table.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { complain, print, printJson } from '../output.js'

interface Args extends ClientArgs {
  all: boolean
  format: 'table' | 'json'
}

export const lsCommand: CommandModule<object, Args> = {
  command: 'ls',
  aliases: ['list', 'ps'],
  describe: 'List all publications',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .option('all', {
        alias: 'a',
        type: 'boolean',
        default: false,
        describe: 'also list the ports of dockerd that docker-proxyd serves',
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
      // A table still shows our publications.
      if (args.format === 'table') await print(formatPublications(publications))
      throw err
    }
    if (args.format === 'json') return printJson({ publications, dockerPorts })
    await print(formatAll(publications, dockerPorts))
    if (dockerPorts.length === 0) complain(noDockerPorts(args.$0))
  },
}

function noDockerPorts(program: string): string {
  return `${program}: none of dockerd's ports goes through a docker-proxyd; see ${program} install-userland-proxy`
}
