import { Client } from '../api/client.js'
import { parseHost } from '../api/host.js'
import { defaultClientHost } from './paths.js'

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
  if (command === 'port' && words.length > 3) return []
  const host = process.env['DOCKER_PUBLISH_HOST'] || defaultClientHost()
  try {
    const publications = await new Client(parseHost(host), { program }).list()
    return publications.map(({ name }) => name).filter((name) => !words.slice(2, -1).includes(name))
  } catch {
    return [] // A completion has nowhere to report this.
  }
}
