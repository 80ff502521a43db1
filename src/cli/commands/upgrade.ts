import type { CommandModule } from 'yargs'
import { parseDrainOption } from '../drain-option.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print, printJson } from '../output.js'
import { Progress } from '../progress.js'

interface Args extends ClientArgs {
  names: string[]
  drain: string | undefined
  format: 'table' | 'json'
}

export const upgradeCommand: CommandModule<object, Args> = {
  command: 'upgrade [names..]',
  describe:
    'Replace the processes of publications by the installed program, without an interruption',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('names', {
        type: 'string',
        array: true,
        default: [],
        describe: 'names of publications; all of them without a name',
      })
      .option('drain', {
        type: 'string',
        requiresArg: true,
        describe: 'when to cut connections that are still open in the old processes [never]',
      })
      .example('$0 upgrade', 'after a new version was installed')
      .example('$0 upgrade web_svr01 --drain 1h', 'old connections have an hour to end'),
  handler: async (args) => {
    const drainMs = parseDrainOption(args.drain, Infinity)
    const client = openClient(args)
    const names =
      args.names.length > 0
        ? [...new Set(args.names)]
        : (await client.list()).filter(({ ports }) => ports.length > 0).map(({ name }) => name)
    const progress = new Progress('upgraded')
    const upgraded: { name: string; processes: number; oldConnections: number }[] = []
    const failures: Error[] = []
    for (const [i, name] of names.entries()) {
      try {
        const { processes, oldConnections } = await client.upgrade(name, drainMs)
        upgraded.push({ name, processes, oldConnections })
        progress.clear()
        if (args.format === 'table') await print(describe(name, processes, oldConnections))
      } catch (err) {
        // The others are still upgraded.
        failures.push(err as Error)
      }
      progress.show(i + 1, names.length)
    }
    progress.clear()
    if (args.format === 'json') await printJson(upgraded)
    if (failures.length > 0) throw new AggregateError(failures)
  },
}

function describe(name: string, processes: number, oldConnections: number): string {
  const what = `${processes} process${processes === 1 ? '' : 'es'} replaced`
  if (oldConnections === 0) return `${name}: ${what}`
  const stay = oldConnections === 1 ? 'connection stays' : 'connections stay'
  const where = processes === 1 ? 'the old process' : 'old processes'
  return `${name}: ${what}, ${oldConnections} ${stay} in ${where}`
}
