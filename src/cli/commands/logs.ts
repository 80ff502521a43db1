import type { CommandModule } from 'yargs'
import { printableJson } from '../../printable.js'
import { openClient, withClient, type ClientArgs } from '../options.js'
import { complain, print } from '../output.js'
import { UsageError } from '../usage-error.js'

interface Args extends ClientArgs {
  name: string
  follow: boolean
  tail: string
  format: 'text' | 'json'
}

const ALL = 'all'

export const logsCommand: CommandModule<object, Args> = {
  command: 'logs <name>',
  describe: 'Show what the proxies of a publication have logged',
  builder: (yargs) =>
    withClient(yargs)
      .positional('name', {
        type: 'string',
        demandOption: true,
        describe: 'name of a publication',
      })
      .option('follow', {
        alias: 'f',
        type: 'boolean',
        default: false,
        describe: 'also show new lines, until Ctrl-C',
      })
      .option('tail', {
        alias: 'n',
        type: 'string',
        requiresArg: true,
        default: ALL,
        describe: 'number of earlier lines at most, or all; a process keeps its newest 256',
      })
      .option('format', {
        choices: ['text', 'json'] as const,
        default: 'text' as const,
        describe: 'text for people, or one JSON object per line',
      })
      .example('$0 logs -f web_svr01', 'its connections as they end, with --access-log on')
      .example('$0 set web_svr01 --access-log on', 'have a line for each of its connections'),
  handler: async ({ name, follow, tail, format, ...args }) => {
    const count = countOf(tail)
    // Loaded here only: pino is large.
    const { loadTextFormat } = await import('../../log/pino-log.js')
    const toText = await loadTextFormat(false)
    let lines = 0
    for await (const line of openClient(args).log(name, count, follow)) {
      lines++
      const json = printableJson(JSON.stringify(line))
      await print(format === 'json' ? json : toText(json).trimEnd())
    }
    if (lines === 0 && count !== 0) {
      complain(`no lines yet: with --access-log on, each connection has one`)
    }
  },
}

/** @returns undefined for all lines @throws UsageError */
function countOf(text: string): number | undefined {
  if (text === ALL) return undefined
  if (/^\d{1,9}$/.test(text)) return Number(text)
  throw new UsageError(`invalid --tail ${JSON.stringify(text)}: expected a number, or ${ALL}`)
}
