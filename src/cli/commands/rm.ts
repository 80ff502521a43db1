import type { CommandModule } from 'yargs'
import type { PublicationView } from '../../controller/views.js'
import { DrainProgress } from '../drain-progress.js'
import { parseDrainOption } from '../drain-option.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print, printJson } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  names: string[]
  all: boolean
  drain: string | undefined
  format: 'table' | 'json'
}

export const rmCommand: CommandModule<object, Args> = {
  command: 'rm [names..]',
  describe: 'Withdraw publications',
  builder: (yargs) =>
    withFormat(withClient(yargs))
      .positional('names', {
        type: 'string',
        array: true,
        default: [],
        describe: 'names of publications',
      })
      .option('all', {
        alias: 'a',
        type: 'boolean',
        default: false,
        describe: 'withdraw all publications',
      })
      .option('drain', {
        type: 'string',
        requiresArg: true,
        describe: 'time that open connections have to end by themselves, for example 30s',
      })
      .example('$0 rm --all', 'nothing is published afterwards')
      .example('$0 rm web_svr01 web_svr02', 'the ports are free when the command returns'),
  handler: async (args) => {
    if (args.all === args.names.length > 0) {
      throw new UsageError(
        `${args.all ? 'with --all, no names are expected' : 'a name is missing'}: give names of publications, or --all`,
      )
    }
    const drainMs = parseDrainOption(args.drain, 0)
    const client = openClient(args)
    const removed: string[] = []
    const failures: Error[] = []
    const names = args.all ? allNames(await client.list()) : args.names
    const progress = drainMs > 0 ? new DrainProgress(client, new Set(names), drainMs) : undefined
    const remove = async (name: string): Promise<void> => {
      try {
        await client.remove(name, drainMs)
        removed.push(name)
        progress?.clear()
        if (args.format === 'table') await print(name)
      } catch (err) {
        // The others are still withdrawn, as docker rm does.
        failures.push(err as Error)
      }
    }
    // One after the other, the last publication would close only after the time of all others.
    if (drainMs > 0) await Promise.all([...names].map(remove))
    else for (const name of names) await remove(name)
    progress?.end()
    if (args.format === 'json') await printJson(removed)
    if (failures.length > 0) throw new AggregateError(failures)
  },
}

/** Containers that wait come first, because they would get the ports of the others. */
function allNames(publications: readonly PublicationView[]): Set<string> {
  const isWaiting = ({ ports }: PublicationView): boolean =>
    ports.some(({ state }) => state === 'waiting')
  const waiting = publications.filter(isWaiting)
  return new Set([...waiting, ...publications].map(({ name }) => name))
}
