import type { CommandModule } from 'yargs'
import type { Client } from '../../api/client.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print, printJson } from '../output.js'
import { UsageError } from '../usage-error.js'

/** Publications of one name that `--all` withdraws: a container may take the name over. */
const MAX_TRIES = 3

interface Args extends ClientArgs {
  names: string[]
  all: boolean
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
      .example('$0 rm --all', 'nothing is published afterwards')
      .example('$0 rm web_svr01 web_svr02', 'the ports are free when the command returns'),
  handler: async (args) => {
    if (args.all === args.names.length > 0) {
      throw new UsageError(
        `${args.all ? 'with --all, no names are expected' : 'a name is missing'}: give names of publications, or --all`,
      )
    }
    const client = openClient(args)
    const removed: string[] = []
    const failures: Error[] = []
    const remove = async (name: string): Promise<boolean> => {
      try {
        await client.remove(name)
        removed.push(name)
        if (args.format === 'table') await print(name)
        return true
      } catch (err) {
        // The others are still withdrawn, as docker rm does.
        failures.push(err as Error)
        return false
      }
    }
    if (args.all) await removeAll(client, remove)
    else for (const name of args.names) await remove(name)
    if (args.format === 'json') await printJson(removed)
    if (failures.length > 0) throw new AggregateError(failures)
  },
}

/**
 * Withdraws publications until none is left. A container that waits for a port or a name gets it when its holder is withdrawn.
 * @param remove returns false if it has failed, which is final
 */
async function removeAll(
  client: Client,
  remove: (name: string) => Promise<boolean>,
): Promise<void> {
  const tries = new Map<string, number>()
  for (;;) {
    const names = new Set((await client.list()).map(({ name }) => name))
    const left = [...names].filter((name) => (tries.get(name) ?? 0) < MAX_TRIES)
    if (left.length === 0) return
    for (const name of left) {
      const isDone = await remove(name)
      tries.set(name, isDone ? (tries.get(name) ?? 0) + 1 : MAX_TRIES)
    }
  }
}
