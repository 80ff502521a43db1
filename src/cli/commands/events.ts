import type { CommandModule } from 'yargs'
import type { PublicationEvent } from '../../controller/publication-event.js'
import { printable, printableJson } from '../../printable.js'
import { formatTemplate, isTemplate } from '../go-template.js'
import { openClient, withClient, withTemplate, type ClientArgs } from '../options.js'
import { print } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  format: string
  filter: string[]
}

const KEYS = ['type', 'publication', 'port'] as const
type Key = (typeof KEYS)[number]
const FIELDS = ['Time', 'Type', 'Publication', 'Port', 'Reason']

export const eventsCommand: CommandModule<object, Args> = {
  command: 'events',
  describe: 'Show events from now on, until Ctrl-C',
  builder: (yargs) =>
    withTemplate(withClient(yargs), {
      ...{ formats: ['table', 'json'], fields: FIELDS, example: '{{.Type}}' },
    })
      .option('filter', {
        type: 'string',
        requiresArg: true,
        array: true,
        default: [] as string[],
        describe: `only these events: ${KEYS.map((key) => `${key}=VALUE`).join(', ')}; may be repeated`,
      })
      .example('$0 events --format json', 'one object per line')
      .example('$0 events --filter publication=web_svr01', 'the events of one publication'),
  handler: async (args) => {
    const isWanted = filterOf(args.filter)
    for await (const event of openClient(args).events()) {
      if (isWanted(event)) await print(formatEvent(event, args.format))
    }
  },
}

/** As in docker: values of the same key are alternatives, and all keys must match. @throws UsageError */
function filterOf(filters: readonly string[]): (event: PublicationEvent) => boolean {
  const wanted = new Map<Key, string[]>()
  for (const filter of filters) {
    const [, name, value = ''] = /^([^=]*)=(.+)$/s.exec(filter) ?? []
    const key = KEYS.find((each) => each === name)
    if (key === undefined) {
      throw new UsageError(
        `invalid --filter ${JSON.stringify(filter)}: expected ${KEYS.map((each) => `${each}=VALUE`).join(' or ')}`,
      )
    }
    wanted.set(key, [...(wanted.get(key) ?? []), value])
  }
  return (event) => [...wanted].every(([key, values]) => values.includes(event[key] ?? ''))
}

function formatEvent(event: PublicationEvent, format: string): string {
  const { time, type, publication, port, reason } = event
  if (format === 'json') return printableJson(JSON.stringify(event))
  if (isTemplate(format)) {
    const row = { Time: time, Type: type, Publication: publication, Port: port, Reason: reason }
    return formatTemplate(format, [row], FIELDS)
  }
  const what = [time, type, publication, port].filter((part) => part !== undefined).join(' ')
  return printable(reason === undefined ? what : `${what} (${reason})`)
}
