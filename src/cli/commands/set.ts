import type { CommandModule } from 'yargs'
import {
  openClient,
  portOptionsOf,
  withClient,
  withFormat,
  withPortOptions,
  type ClientArgs,
} from '../options.js'
import { print, printJson } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  name: string
  format: 'table' | 'json'
}

export const setCommand: CommandModule<object, Args> = {
  command: 'set <name>',
  describe: 'Change options of a publication, while its ports stay open',
  builder: (yargs) =>
    withPortOptions(withFormat(withClient(yargs)))
      .positional('name', { type: 'string', demandOption: true, describe: 'name of a publication' })
      .example('$0 set web_svr01 --max-connections 500', 'the other options stay as they are')
      .example('$0 set web_svr01 --allow off', 'all clients may connect'),
  handler: async (args) => {
    const options = portOptionsOf({ ...args })
    if (Object.keys(options).length === 0) {
      throw new UsageError('expected an option to change, for example --max-connections 500')
    }
    const publication = await openClient(args).set(args.name, options)
    if (args.format === 'json') await printJson(publication)
    else await print(publication.name)
  },
}
