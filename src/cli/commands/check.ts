import type { CommandModule } from 'yargs'
import { checkPorts } from '../../controller/check.js'
import type { Claim } from '../../controller/claim.js'
import { joinHostPort } from '../../proxy/published-port.js'
import { withFormat, withPublish } from '../options.js'
import { print, printJson } from '../output.js'

interface Args {
  publish: string[]
  format: 'table' | 'json'
}

export const checkCommand: CommandModule<object, Args> = {
  command: 'check',
  describe: 'Tell whether ports are free, or who holds them and what would work',
  builder: (yargs) =>
    withFormat(withPublish(yargs))
      .example('$0 check -p 8080:80', 'exit code 125 and the holder when it is taken')
      .example('$0 check -p 127.0.0.1::53/udp', 'any port of one address'),
  handler: async (args) => {
    const claims = checkPorts(args.publish)
    if (args.format === 'json') await printJson(claims)
    else await print(claims.map(describe).join('\n'))
  },
}

function describe({ protocol, ip, port }: Claim): string {
  return `${joinHostPort(ip, port)}/${protocol} is free`
}
