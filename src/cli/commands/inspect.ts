import type { CommandModule } from 'yargs'
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
      .positional('names', { type: 'string', array: true, demandOption: true })
      .option('format', { choices: ['json'], default: 'json', describe: 'always JSON' })
      .example('$0 inspect web_svr01', 'ports, proxies, restarts, connections'),
  handler: async (args) => {
    const client = openClient(args)
    await printJson(await Promise.all(args.names.map((name) => client.get(name))))
  },
}
