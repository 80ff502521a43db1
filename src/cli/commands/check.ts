import type { CommandModule } from 'yargs'
import { checkPorts } from '../../ports/check-ports.js'
import { formatHostPort } from '../../ports/host-port.js'
import { withFormat, withPublish } from '../options.js'
import { print, printJson } from '../output.js'

interface Args {
  publish: string[]
  format: 'table' | 'json'
}

export const checkCommand: CommandModule<object, Args> = {
  command: 'check',
  describe: 'Tell whether ports are free, or name their holders and free alternatives',
  builder: (yargs) =>
    withFormat(withPublish(yargs))
      .example('$0 check -p 8080:80', 'exit code 125 and the holder if it is taken')
      .example('$0 check -p 127.0.0.1::53/udp', 'any port on one address'),
  handler: async (args) => {
    const ports = await checkPorts(args.publish)
    if (args.format === 'json') await printJson(ports)
    else await print(ports.map((port) => `${formatHostPort(port)} is free`).join('\n'))
  },
}
