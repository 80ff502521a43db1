import yargs from 'yargs'
import { hideBin } from 'yargs/helpers'
import { addCommand } from './cli/commands/add.js'
import { checkCommand } from './cli/commands/check.js'
import { daemonCommand } from './cli/commands/daemon.js'
import { demoCommand } from './cli/commands/demo.js'
import { dialStdioCommand } from './cli/commands/dial-stdio.js'
import { eventsCommand } from './cli/commands/events.js'
import { inspectCommand } from './cli/commands/inspect.js'
import { lsCommand } from './cli/commands/ls.js'
import { portCommand } from './cli/commands/port.js'
import { rmCommand } from './cli/commands/rm.js'
import { runCommand } from './cli/commands/run.js'
import { installCommand, uninstallCommand } from './cli/commands/userland-proxy.js'
import { versionCommand } from './cli/commands/version.js'
import { exitWith } from './cli/exit.js'
import { UsageError } from './cli/usage-error.js'

/*
 * The controller's command line: one file a command in cli/commands/.
 */

async function main(): Promise<void> {
  await yargs(hideBin(process.argv).map(separate).flat())
    .scriptName('docker-publish')
    .usage('Usage: $0 COMMAND\n\nPublishes ports of containers, and tells who holds a port.')
    .command(runCommand)
    .command(daemonCommand)
    .command(addCommand)
    .command(lsCommand)
    .command(portCommand)
    .command(inspectCommand)
    .command(rmCommand)
    .command(eventsCommand)
    .command(checkCommand)
    .command(installCommand)
    .command(uninstallCommand)
    .command(demoCommand)
    .command(versionCommand)
    .command(dialStdioCommand)
    .completion('completion', 'Print a script that completes commands in bash or zsh')
    .demandCommand(1, 'a command is missing: see docker-publish --help')
    .strict()
    .check(refuseRepeated, true)
    .locale('en')
    .version(false)
    .help()
    .alias('help', 'h')
    .wrap(Math.min(100, process.stdout.columns || 100))
    .parserConfiguration({ 'duplicate-arguments-array': true, 'parse-positional-numbers': false })
    .example('$0 run -p 8080:80 172.17.0.2', 'publish a port until Ctrl-C')
    .example('$0 check -p 8080:80', 'is the port free, or who holds it?')
    .example('$0 demo', 'see it work, without Docker')
    .exitProcess(false)
    .fail((message, err: unknown) => {
      if (err instanceof Error && err.name !== 'YError') throw err
      // yargs puts what is missing, and what to do about it, on two lines.
      throw new UsageError(message.replaceAll('\n', ': '))
    })
    .parseAsync()
}

/** `-p8080:80` as docker takes it; yargs would read a group of flags. */
function separate(arg: string): string[] {
  return /^-[pH][^=]/.test(arg) ? [arg.slice(0, 2), arg.slice(2)] : [arg]
}

/** Options that may be given more than once; of any other it would be unclear which one counts. */
const REPEATABLE: readonly string[] = ['_', 'publish', 'p', 'names']

function refuseRepeated(argv: Record<string, unknown>): true {
  const { _: command } = argv
  const isRepeatable = (key: string): boolean =>
    REPEATABLE.includes(key) ||
    (Array.isArray(command) && command[0] === 'daemon' && /^(host|H)$/.test(key))
  const repeated = Object.keys(argv).find(
    (key) => key.length > 1 && Array.isArray(argv[key]) && !isRepeatable(key),
  )
  if (repeated !== undefined) throw new UsageError(`--${repeated} was given more than once`)
  return true
}

main().catch(exitWith)
