import { connect } from 'node:net'
import { once } from 'node:events'
import { pipeline } from 'node:stream/promises'
import type { CommandModule } from 'yargs'
import { formatHost, parseHost } from '../../api/host.js'
import { errnoReason } from '../../linux/errno.js'
import { environmentSetting } from '../environment.js'
import { defaultClientHost } from '../paths.js'
import { UsageError } from '../usage-error.js'

/** The command that `ssh://` runs on the remote host. */
export const dialStdioCommand: CommandModule = {
  command: 'dial-stdio',
  // Hidden, as docker's own: people use -H ssh://.
  describe: false,
  builder: (yargs) =>
    yargs.example('ssh web docker-publish dial-stdio', 'the command that -H ssh://web runs'),
  handler: async () => {
    const host = parseHost(environmentSetting('DOCKER_PUBLISH_HOST') ?? defaultClientHost())
    if (host.kind !== 'unix') throw new UsageError('dial-stdio reaches a daemon on a unix socket')
    const socket = connect({ path: host.path, allowHalfOpen: true })
    await once(socket, 'connect').catch((err: unknown) => {
      throw new Error(
        `no daemon answers at ${formatHost(host)}: ${errnoReason(err)}; start it there, or set DOCKER_PUBLISH_HOST`,
      )
    })
    // After the end of stdin a reply may still come.
    pipeline(process.stdin, socket).catch(() => undefined)
    await pipeline(socket, process.stdout)
    process.exit()
  },
}
