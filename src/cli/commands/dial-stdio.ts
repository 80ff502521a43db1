import { connect } from 'node:net'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import type { CommandModule } from 'yargs'
import { formatHost, parseHost } from '../../controller/api/host.js'
import { errnoReason } from '../../linux/errno.js'
import { defaultClientHost } from '../paths.js'
import { UsageError } from '../usage-error.js'

/** What `ssh://` runs over there. */
export const dialStdioCommand: CommandModule = {
  command: 'dial-stdio',
  describe: 'Join stdin and stdout to the local daemon, for ssh:// clients',
  builder: (yargs) =>
    yargs.example('ssh web docker-publish dial-stdio', 'what -H ssh://web does on its own'),
  handler: async () => {
    const chosen = process.env['DOCKER_PUBLISH_HOST']
    const host = parseHost(chosen ? chosen : defaultClientHost())
    if (host.kind !== 'unix') throw new UsageError('dial-stdio reaches a daemon on a unix socket')
    const socket = connect({ path: host.path, allowHalfOpen: true })
    await once(socket, 'connect').catch((err: unknown) => {
      throw new Error(`no daemon answers at ${formatHost(host)}: ${errnoReason(err)}`)
    })
    // The end of stdin is passed on, but there may be an answer still.
    pipeline(process.stdin, socket).catch(() => undefined)
    await pipeline(socket, process.stdout)
    process.exit()
  },
}
