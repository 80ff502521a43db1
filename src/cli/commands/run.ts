import type { CommandModule } from 'yargs'
import { Controller } from '../../controller/controller.js'
import { Containers } from '../../docker/containers.js'
import { findEngineHost } from '../../docker/engine-host.js'
import type { LogFormat, LogLevel } from '../../log/log.js'
import { openLog, withFormat, withProxy, withPublication, withPublish } from '../options.js'
import { printEach, printJson } from '../output.js'
import { makePrivateFolder } from '../private-folder.js'
import { findProxyProgram } from '../find-proxy-program.js'
import { stopSignal } from '../../linux/signals.js'
import {
  containerOf,
  describeAdded,
  isAddress,
  publicationRequest,
  type PublicationArgs,
} from './add.js'

interface Args extends PublicationArgs {
  'proxy-path': string | undefined
  'log-level': LogLevel | undefined
  'log-format': LogFormat | undefined
  format: 'table' | 'json'
}

export const runCommand: CommandModule<object, Args> = {
  command: 'run <container>',
  describe: 'Publish ports of a container until Ctrl-C; needs no daemon',
  builder: (yargs) =>
    withFormat(withProxy(withPublication(withPublish(yargs))))
      .example('$0 run -p 8080:80 web_svr01', 'port 8080 on all addresses, IPv4 and IPv6')
      .example('$0 run -p 8000-8009:80 172.17.0.2', 'the first of these ports that is free'),
  handler: async (given) => {
    const args = { ...given, container: await containerOf(given) }
    const stop = stopSignal({ isForeground: true })
    const log = openLog(args.$0, args)
    const program = await findProxyProgram(args['proxy-path'])
    // A plain address needs no engine.
    const containers = isAddress(args.container)
      ? undefined
      : new Containers(() => findEngineHost(process.env), log)
    containers?.start()
    const controller = new Controller({
      ...{ program, log, runFolder: makePrivateFolder() },
      ...(containers ? { containers } : {}),
    })
    const publication = await Promise.race([controller.add(publicationRequest(args)), stop])
    // Stopped before all ports were published. The watchdog of the folder ends the processes.
    if (typeof publication === 'string') throw new Error(`stopped by ${publication}`)
    try {
      if (args.format === 'json') await printJson(publication)
      else await printEach([describeAdded(publication)])
      await stop
    } finally {
      containers?.close()
      await controller.close()
    }
    await log.flush()
    process.exit()
  },
}
