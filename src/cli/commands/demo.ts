import type { CommandModule } from 'yargs'
import { Controller } from '../../controller/controller.js'
import { runDemo } from '../../demo/demo.js'
import { StderrLog } from '../../log/stderr-log.js'
import { reportRefusal } from '../conflict-report.js'
import { print } from '../output.js'
import { formatPorts } from '../ports-column.js'
import { makePrivateFolder } from '../private-folder.js'
import { findProxyProgram } from '../find-proxy-program.js'
import { stopSignal } from '../../linux/signals.js'

export const demoCommand: CommandModule = {
  command: 'demo',
  describe:
    'Show which claims of a port succeed and which fail, with real sockets; needs no Docker',
  builder: (yargs) => yargs.example('$0 demo', 'ends with a published port to try'),
  handler: async (args) => {
    const stop = stopSignal({ isForeground: true })
    // The demo prints on stdout. Lines of the proxies would mix with it.
    process.env['DOCKER_PROXY_LOG_LEVEL'] ??= 'error'
    const controller = new Controller({
      program: await findProxyProgram(undefined),
      log: StderrLog.open(args.$0, 'warn'),
      runFolder: makePrivateFolder(),
    })
    try {
      const end = await runDemo(controller, args.$0, {
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
