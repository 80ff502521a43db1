import { basename } from 'node:path'
import { parseFlags, type Flags } from './flags.js'

/** The name of the program in process lists. */
export const PROXY_NAME = 'docker-proxy'
/** Programs that serve the ports of launchers. */
const PROXYD_NAMES = ['docker-proxyd', 'docker-publish']
/** What may stand before a program that is a script. Any other program before it, as in `timeout 9 docker-proxy`, runs it as a process of its own. */
const INTERPRETERS = ['sh', 'ash', 'dash', 'bash', 'busybox', 'node']

/** The command line of a docker-proxy. */
export interface ProxyCommand {
  /** The path that the program was called by. */
  readonly path: string
  readonly args: readonly string[]
}

/**
 * Recognises the command line of a docker-proxy: the original, ours, or a launcher.
 * @param command the arguments of a process, the program first
 */
export function parseProxyCommand(command: readonly string[]): ProxyCommand | undefined {
  // A process that has changed its title has one argument with spaces.
  return findProgram(command) ?? findProgram(command.join(' ').split(' '))
}

/** The flags of a docker-proxy; undefined for any other process, and for flags that can't be parsed. */
export function proxyFlags(command: readonly string[]): Flags | undefined {
  const found = parseProxyCommand(command)
  if (!found?.args[0]?.startsWith('-')) return undefined
  try {
    return parseFlags(found.args)
  } catch {
    return undefined
  }
}

/** Whether a command line is that of a docker-proxyd, or of a daemon that may be one. */
export function isProxydCommand(command: readonly string[]): boolean {
  return PROXYD_NAMES.includes(basename(command[programPlace(command)] ?? ''))
}

function findProgram(words: readonly string[]): ProxyCommand | undefined {
  const [path, ...args] = words.slice(programPlace(words))
  return path !== undefined && basename(path) === PROXY_NAME ? { path, args } : undefined
}

/** Where the program stands in a command line, behind its interpreters. */
function programPlace(words: readonly string[]): number {
  const place = words.findIndex((word) => !INTERPRETERS.includes(basename(word)))
  return place === -1 ? words.length : place
}
