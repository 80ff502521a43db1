import type { CommandModule } from 'yargs'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print, printJson } from '../output.js'

interface Args extends ClientArgs {
  names: string[]
  format: 'table' | 'json'
}

export const rmCommand: CommandModule<object, Args> = {
  command: 'rm <names..>',
  describe: 'Withdraw publications',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('names', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'names of publications',
      })
      .example('$0 rm web_svr01 web_svr02', 'their ports are free when it returns'),
  handler: async (args) => {
    const client = openClient(args)
    const removed: string[] = []
    const failures: Error[] = []
    for (const name of args.names) {
      try {
        await client.remove(name)
        removed.push(name)
        if (args.format === 'table') await print(name)
      } catch (err) {
        // The others are still withdrawn, as docker rm does.
        failures.push(err as Error)
      }
    }
    if (args.format === 'json') await printJson(removed)
    if (failures.length > 0) throw new AggregateError(failures)
  },
}
