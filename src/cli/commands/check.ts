import type { CommandModule } from 'yargs'
import { formatHostPort, type HostPort } from '../../ports/host-port.js'
import { checkPorts } from '../../ports/check-ports.js'
import {
  openClient,
  orWithoutDaemon,
  withClient,
  withFormat,
  withPublish,
  type ClientArgs,
} from '../options.js'
import { printEach, printJson } from '../output.js'

interface Args extends ClientArgs {
  publish: string[]
  format: 'table' | 'json'
}

export const checkCommand: CommandModule<object, Args> = {
  command: 'check',
  describe: 'Tell whether ports are free, or name their holders and free alternatives',
  builder: (yargs) =>
    withFormat(withPublish(withClient(yargs)))
      .example('$0 check -p 8080:80', 'exit code 125 and the holder if the port is taken')
      .example('$0 check -p 127.0.0.1::53/udp', 'any port on one address'),
  handler: async (args) => {
    const ports = await check(args)
    if (args.format === 'json') await printJson(ports)
    else await printEach(ports.map((port) => `${formatHostPort(port)} is free`))
  },
}

/** A daemon names its publications as holders. Without one, the kernel is asked here. */
async function check(args: Args & { $0: string }): Promise<HostPort[]> {
  const client = openClient(args)
  return orWithoutDaemon(
    args,
    () => client.check(args.publish),
    () => checkPorts(args.publish),
  )
}
