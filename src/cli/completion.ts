import yargs from 'yargs'
import { openClient, withClient } from './options.js'

/** Commands whose arguments are names of publications. */
const WITH_NAMES = ['rm', 'inspect', 'port']

/**
 * The names of publications that may complete the last word of a command line; none without a daemon.
 * @param words the command line so far, the program first
 */
export async function completeNames(words: readonly string[], program: string): Promise<string[]> {
  const [, command = ''] = words
  const current = words.at(-1) ?? ''
  if (words.length < 3) return []
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
