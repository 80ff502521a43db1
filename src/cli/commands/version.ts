import type { CommandModule } from 'yargs'
import { COMMIT, VERSION, versionLine } from '../../version.js'
import { withFormat } from '../options.js'
import { print, printJson } from '../output.js'

export const versionCommand: CommandModule<object, { format: 'table' | 'json' }> = {
  command: 'version',
  describe: 'Print the version',
  builder: (yargs) => withFormat(yargs).example('$0 version --format json', 'for programs'),
  handler: async ({ format, $0: program }) => {
    if (format === 'json') await printJson({ version: VERSION, commit: COMMIT })
    else await print(versionLine(program))
  },
}
