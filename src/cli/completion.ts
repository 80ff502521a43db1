import yargs, { type CommandModule } from 'yargs'
import { EngineClient } from '../docker/engine-client.js'
import { findEngineHost } from '../docker/engine-host.js'
import { printable } from '../printable.js'
import { openClient, withClient } from './options.js'

/** Commands whose arguments are names of publications. */
const WITH_NAMES = ['rm', 'inspect', 'port', 'set', 'top', 'logs', 'upgrade']
/** Commands whose argument is a container. */
const WITH_CONTAINER = ['add', 'run']
/** Time for the engine's answer, milliseconds. */
const TIMEOUT_MS = 2_000

/**
 * The names of publications or containers that may complete the last word of a command line; none without a daemon, or an engine.
 * @param words the command line so far, the program first
 */
export async function completeNames(
  words: readonly string[],
  program: string,
  commands: readonly CommandModule[],
): Promise<string[]> {
  const [, command = ''] = words
  const current = words.at(-1) ?? ''
  if (words.length < 3) return []
  if (WITH_CONTAINER.includes(command)) {
    // Neither an option nor its value.
    const isArgument = completeWords(words.slice(1), commands)?.length === 0
    return isArgument && !current.startsWith('-') ? runningContainers() : []
  }
  if (!WITH_NAMES.includes(command) || current.startsWith('-')) return []
  try {
    const { _: named, ...args } = withClient(yargs(words.slice(2, -1)))
      .help(false)
      .version(false)
      .exitProcess(false)
      .fail(false)
      .parseSync()
    if (command === 'port' && named.length > 0) return []
    const publications = await openClient({ ...args, $0: program }).list()
    return publications.map(({ name }) => name).filter((name) => !named.includes(name))
  } catch {
    return [] // A completion has nowhere to report this.
  }
}

/** The part of a listed container that a completion needs. */
interface Listed {
  readonly Names?: readonly string[]
}

async function runningContainers(): Promise<string[]> {
  try {
    const client = new EngineClient(findEngineHost(process.env))
    const listed = await client.get<readonly Listed[]>('/containers/json', {}, TIMEOUT_MS)
    // A container may also have names in other containers, such as /other/alias.
    const names = listed.flatMap(({ Names: all = [] }) => all.map((name) => name.slice(1)))
    return names.filter((name) => name !== '' && !name.includes('/') && printable(name) === name)
  } catch {
    return [] // A completion has nowhere to report this.
  }
}

/** The part of yargs' options that completions need. Its types leave the method out. */
interface OptionsParser {
  getOptions(): {
    readonly boolean: readonly string[]
    readonly key: Readonly<Record<string, boolean>>
    readonly choices: Readonly<Record<string, readonly string[]>>
  }
}

/** The options of a command line that take no value. @param parser of yargs */
export function booleanOptions(parser: unknown): readonly string[] {
  return (parser as OptionsParser).getOptions().boolean
}

/**
 * Commands, options of the command, or choices of the option before the last word.
 * @param words the command line so far, without the program
 * @returns undefined if the last word is a value that is not known here, for example the name of a file
 */
export function completeWords(
  [name = '', ...words]: readonly string[],
  commands: readonly CommandModule[],
): string[] | undefined {
  if (words.length === 0) {
    const visible = commands.filter(({ describe }) => describe !== false)
    return visible.flatMap((command) => commandNames(command).slice(0, 1))
  }
  const command = commands.find((each) => commandNames(each).includes(name))
  if (typeof command?.builder !== 'function') return []
  const parser = yargs([])
  void command.builder(parser)
  const { key, choices, boolean } = (parser as unknown as OptionsParser).getOptions()
  const [, option = ''] = /^--?([\w-]+)$/.exec(words.at(-2) ?? '') ?? []
  if (choices[option]) return [...choices[option]]
  if (option !== '' && !boolean.includes(option)) return undefined
  if (!words.at(-1)?.startsWith('-')) return []
  const positionals = [...String(command.command).matchAll(/([\w-]+)\.*[>\]]/g)].map(
    ([, positional]) => positional,
  )
  return Object.keys(key)
    .filter((each) => each.length > 1 && !positionals.includes(each))
    .map((each) => `--${each}`)
}

/** The name of a command, and its aliases. */
export function commandNames({
  command,
  aliases = [],
}: Pick<CommandModule, 'command' | 'aliases'>): string[] {
  return [...String(command).split(' ', 1), ...[aliases].flat()]
}
