import yargs, { type CommandModule } from 'yargs'
import { COMMAND_MISSING, normalizeArguments, parserError } from './arguments.js'
import { addCommand } from './commands/add.js'
import { checkCommand } from './commands/check.js'
import { daemonCommand } from './commands/daemon.js'
import { demoCommand } from './commands/demo.js'
import { dialStdioCommand } from './commands/dial-stdio.js'
import { eventsCommand } from './commands/events.js'
import { inspectCommand } from './commands/inspect.js'
import { logsCommand } from './commands/logs.js'
import { lsCommand } from './commands/ls.js'
import { portCommand } from './commands/port.js'
import { rmCommand } from './commands/rm.js'
import { runCommand } from './commands/run.js'
import { setCommand } from './commands/set.js'
import { topCommand } from './commands/top.js'
import { upgradeCommand } from './commands/upgrade.js'
import { installPluginCommand, uninstallPluginCommand } from './commands/plugin.js'
import { installCommand, uninstallCommand } from './commands/userland-proxy.js'
import { versionCommand } from './commands/version.js'
import { booleanOptions, commandNames, completeNames, completeWords } from './completion.js'
import { refuseUnknownVariables } from './environment.js'
import { allPrinted, print } from './output.js'
import { parserMessages } from './parser-messages.js'
import { versionLine } from '../version.js'
import { UsageError } from './usage-error.js'

/** Options that may be repeated. For all others it would be unclear which one counts. */
const REPEATABLE: readonly string[] = ['_', 'publish', 'p', 'names', 'filter', 'file']

const MAX_WIDTH = 100
const COMPLETION_COMMAND = 'completion'
/**
 * The shell's script starts the program with this flag and the words so far. Names come before yargs: it would run the command while it
 * waits for them.
 */
const COMPLETION_FLAG = '--get-yargs-completions'

const COMMANDS = [
  runCommand,
  daemonCommand,
  addCommand,
  lsCommand,
  portCommand,
  inspectCommand,
  setCommand,
  topCommand,
  logsCommand,
  upgradeCommand,
  rmCommand,
  eventsCommand,
  checkCommand,
  installCommand,
  uninstallCommand,
  installPluginCommand,
  uninstallPluginCommand,
  demoCommand,
  versionCommand,
  dialStdioCommand,
] as const

/**
 * Runs the controller's command line.
 *
 * @param program its name in messages; commands find it in `args.$0`
 * @param args the command and its arguments
 * Rejects with the error of the command.
 */
export async function runCli(program: string, args: readonly string[]): Promise<void> {
  if (args[0] === COMPLETION_FLAG) {
    const names = await completeNames(
      args.slice(1),
      program,
      COMMANDS as unknown as readonly CommandModule[],
    )
    if (names.length > 0) return print(names.join('\n'))
  }
  const words = normalizeArguments(args)
  refuseUnknownCommand(words, program)
  await parserOf(words, program).parseAsync()
  await allPrinted()
}

/** @param words the command line without the program */
function parserOf(words: readonly string[], program: string) {
  const parser = yargs(words)
  for (const command of COMMANDS) parser.command(command as CommandModule)
  return parser
    .scriptName(program)
    .usage('Usage: $0 COMMAND\n\nPublishes ports of containers, and names the holder of a port.')
    .completion(
      COMPLETION_COMMAND,
      'Print a script that completes commands and names in bash or zsh',
    )
    .demandCommand(1, `${COMMAND_MISSING}: see ${program} --help`)
    .strict()
    .check(refuseRepetition, true)
    .check(() => refuseBooleanValues(words, booleanOptions(parser)), true)
    .middleware(() => refuseUnknownVariables())
    .locale('en')
    .updateStrings(parserMessages())
    .version(versionLine(program))
    .help()
    .alias('help', 'h')
    .wrap(Math.min(MAX_WIDTH, process.stdout.columns || MAX_WIDTH))
    .parserConfiguration({ 'duplicate-arguments-array': true, 'parse-positional-numbers': false })
    .example('$0 add -p 8080:80 web_svr01', 'publish a port of a running container')
    .example('$0 run -p 8080:80 172.17.0.2', 'publish a port until Ctrl-C')
    .example('$0 check -p 8080:80', 'check a port, and name its holder')
    .example('$0 demo', 'see it work, without Docker')
    .exitProcess(false)
    .fail((message, err: unknown) => {
      if (err instanceof Error && err.name !== 'YError') throw err
      throw parserError(message, words, program, COMMANDS.map(commandLine))
    })
}

/**
 * Prints what may complete the last word, in the form that the docker command expects of its plugins.
 * @param words the command line so far, without the program
 */
export async function completeForDocker(words: readonly string[], program: string): Promise<void> {
  const current = words.at(-1) ?? ''
  const commands = COMMANDS as unknown as readonly CommandModule[]
  const names = await completeNames([program, ...words], program, commands)
  const found = names.length > 0 ? names : completeWords(words, commands)
  const matching = found?.filter((name) => name.startsWith(current)) ?? []
  await print([...matching, found ? NO_FILES : FILES].join('\n'))
  await allPrinted()
}

/** Has the shell complete no names of files. Source: cobra's ShellCompDirectiveNoFileComp. */
const NO_FILES = ':4'
const FILES = ':0'

/** As `add <container>`. */
function commandLine({ command }: Pick<CommandModule, 'command'>): string {
  return String(command)
}

/** yargs would print the help of all commands for `nope --help`. @throws UsageError */
function refuseUnknownCommand([name]: readonly string[], program: string): void {
  if (name === undefined || name.startsWith('-') || name === COMPLETION_COMMAND) return
  const isKnown = COMMANDS.some((command) => commandNames(command).includes(name))
  if (!isKnown) {
    throw new UsageError(`unknown command ${JSON.stringify(name)}: see ${program} --help`)
  }
}

/** yargs takes each value but "true" for false. @throws UsageError */
function refuseBooleanValues(words: readonly string[], options: readonly string[]): true {
  for (const word of words) {
    const [, option = '', value = ''] = /^--([\w-]+)=(.*)$/s.exec(word) ?? []
    if (!options.includes(option) || ['true', 'false'].includes(value)) continue
    throw new UsageError(
      `invalid value ${JSON.stringify(value)} for --${option}: expected true or false`,
    )
  }
  return true
}

function refuseRepetition(argv: Record<string, unknown>): true {
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
