import type { CommandModule } from 'yargs'
import { openClient, withClient, withFormat, type ClientOptions } from '../options.js'
import { print, printJson } from '../output.js'
import { formatPublications } from '../publication-table.js'

interface Args extends ClientOptions {
  format: 'table' | 'json'
}

export const lsCommand: CommandModule<object, Args> = {
  command: 'ls',
  aliases: ['list', 'ps'],
  describe: 'List all that is published',
  builder: (yargs) => withFormat(withClient(yargs)).example('$0 ls --format json', 'for programs'),
  handler: async (args) => {
    const publications = await openClient(args).list()
    if (args.format === 'json') await printJson(publications)
    else await print(formatPublications(publications))
  },
}
