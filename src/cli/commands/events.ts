import type { CommandModule } from 'yargs'
import type { PublicationEvent } from '../../controller/publication-event.js'
import { printable, printableJson } from '../../printable.js'
import { openClient, withClient, withFormat, type ClientArgs } from '../options.js'
import { print } from '../output.js'

interface Args extends ClientArgs {
  format: 'table' | 'json'
}

export const eventsCommand: CommandModule<object, Args> = {
  command: 'events',
  describe: 'Show events from now on, until Ctrl-C',
  builder: (yargs) =>
    withFormat(withClient(yargs)).example('$0 events --format json', 'one object per line'),
  handler: async (args) => {
    for await (const event of openClient(args).events()) {
      await print(
        args.format === 'json' ? printableJson(JSON.stringify(event)) : formatEvent(event),
      )
    }
  },
}

function formatEvent({ time, type, publication, port, reason }: PublicationEvent): string {
  const what = [time, type, publication, port].filter((part) => part !== undefined).join(' ')
  return printable(reason === undefined ? what : `${what} (${reason})`)
}
