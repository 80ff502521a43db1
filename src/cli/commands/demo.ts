import type { CommandModule } from 'yargs'
import { runDemo } from '../../demo/demo.js'
import { openStderrLog } from '../../log/log.js'
import { reportRefusal } from '../conflict-report.js'
import { print } from '../output.js'
import { formatPorts } from '../ports-column.js'
import { makePrivateFolder } from '../private-folder.js'
import { findProxyProgram, startController } from '../start-controller.js'
import { stopSignal } from '../stop-signal.js'

export const demoCommand: CommandModule = {
  command: 'demo',
  describe: 'Show who may have a port and who may not, with real sockets; needs no Docker',
  handler: async () => {
    const stop = stopSignal()
    // The story is told on stdout; the proxies' own lines would come in between.
    process.env['DOCKER_PROXY_LOG_LEVEL'] ??= 'error'
    const controller = await startController({
      program: await findProxyProgram(undefined),
      log: openStderrLog('docker-publish', 'warn'),
      runFolder: makePrivateFolder(),
    })
    try {
      const end = await runDemo(controller, {
        print,
        published: ({ name, ports }) => `${name}: ${formatPorts(ports)}`,
        refused: (refusal) => `${reportRefusal(refusal)}\n(exit code 125)`,
      })
      await stop
      end()
    } finally {
      await controller.close()
    }
    process.exit()
  },
}
