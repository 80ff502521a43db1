import { UsageError } from './usage-error.js'

export const COMMAND_MISSING = 'a command is missing'

/**
 * Rewrites arguments that docker accepts and yargs does not: `help add`, `-p8080:80`, which yargs would parse as a group of
 * flags, and `--` before the last arguments, none of which can begin with a dash.
 */
export function normalizeArguments(args: readonly string[]): string[] {
  const [first, second, ...rest] = args
  const isHelp = first === 'help' && !second?.startsWith('-')
  const plain = isHelp ? (second === undefined ? ['--help'] : [second, '--help', ...rest]) : args
  return plain.filter((arg) => arg !== '--').flatMap(separateShortOption)
}

function separateShortOption(arg: string): string[] {
  return /^-[pH][^=]/.test(arg) ? [arg.slice(0, 2), arg.slice(2)] : [arg]
}

/**
 * Makes an error of the parser's message. The message quotes the argument and names the help.
 *
 * @param message of yargs, with the sentences of parserMessages
 * @param args the command line
 * @param commands as `add <backend>`, of all commands
 */
export function parserError(
  message: string,
  args: readonly string[],
  program: string,
  commands: readonly string[],
): UsageError {
  const [name] = args.filter((arg) => !arg.startsWith('-'))
  const command = commands.find((each) => each.split(' ')[0] === name)
  const advice = `see ${program}${command === undefined ? '' : ` ${name}`} --help`
  // yargs writes what is wrong, and what to do, on several lines.
  const line = message.replaceAll(/\n\s*/g, ': ')
  const [, given] = /^missing argument (\d+)\b/.exec(line) ?? []
  const [, unknown] = /^unknown argument: (.*)$/s.exec(line) ?? []
  const [first] = args
  if (line.startsWith(COMMAND_MISSING) && first !== undefined) {
    return new UsageError(`unknown argument ${JSON.stringify(first)}: ${advice}`)
  }
  if (given !== undefined && command !== undefined) {
    const missing = command.match(/<[^>]*>/g)?.[Number(given)] ?? 'an argument'
    return new UsageError(`${missing} is missing: ${advice}`)
  }
  if (unknown !== undefined) {
    const words = unknown.split(', ')
    // yargs also names an option as it would be written in JavaScript.
    const given = words.filter((word) => isGiven(word, args))
    const quoted = (given.length > 0 ? given : words).map((word) =>
      JSON.stringify(asGiven(word, args)),
    )
    return new UsageError(`unknown argument ${quoted.join(', ')}: ${advice}`)
  }
  const [, option] = /^missing value: (.*)$/s.exec(line) ?? []
  if (option !== undefined) {
    return new UsageError(`the option ${asGiven(option, args)} needs a value: ${advice}`)
  }
  return new UsageError(line)
}

function isGiven(word: string, args: readonly string[]): boolean {
  return args.some((arg) => nameOf(arg) === word)
}

/** yargs names an option without its dashes. */
function asGiven(word: string, args: readonly string[]): string {
  return args.find((arg) => nameOf(arg) === word) ?? word
}

function nameOf(arg: string): string | undefined {
  return arg.replace(/^-+/, '').split('=')[0]
}
