import type { CommandModule } from 'yargs'
import { Controller } from '../../controller/controller.js'
import type { IsolationChoice } from '../../controller/isolation.js'
import type { LogFormat, LogLevel } from '../../log/log.js'
import { openLog, withFormat, withProxy, withPublication } from '../options.js'
import { printEach, printJson } from '../output.js'
import { formatPorts } from '../ports-column.js'
import { makePrivateFolder } from '../private-folder.js'
import { findProxyProgram } from '../find-proxy-program.js'
import { stopSignal } from '../../linux/signals.js'
import { publicationRequest } from './add.js'

interface Args {
  publish: string[]
  name: string | undefined
  isolation: IsolationChoice
  backend: string
  'proxy-path': string | undefined
  'log-level': LogLevel | undefined
  'log-format': LogFormat | undefined
  format: 'table' | 'json'
}

export const runCommand: CommandModule<object, Args> = {
  command: 'run <backend>',
  describe: 'Publish ports of a container until Ctrl-C; needs no daemon',
  builder: (yargs) =>
    withFormat(withProxy(withPublication(yargs)))
      .example('$0 run -p 8080:80 172.17.0.2', 'port 8080 on all addresses, IPv4 and IPv6')
      .example('$0 run -p 8000-8009:80 172.17.0.2', 'the first of these ports that is free'),
  handler: async (args) => {
    const stop = stopSignal({ isForeground: true })
    const log = openLog(args.$0, args)
    const program = await findProxyProgram(args['proxy-path'])
    const controller = new Controller({ program, log, runFolder: makePrivateFolder() })
    const publication = await Promise.race([controller.add(publicationRequest(args)), stop])
    // Stopped before all ports were published. The watchdog of the folder ends the processes.
    if (typeof publication === 'string') throw new Error(`stopped by ${publication}`)
    try {
      if (args.format === 'json') await printJson(publication)
      else await printEach([`${publication.name}: ${formatPorts(publication.ports)}`])
      await stop
    } finally {
      await controller.close()
    }
    await log.flush()
    process.exit()
  },
}
