import { basename } from 'node:path'
import { parseFlags, type Flags } from './flags.js'

/** The name of the program in process lists. */
export const PROXY_NAME = 'docker-proxy'
/** Programs that serve the ports of launchers. */
const PROXYD_NAMES = ['docker-proxyd', 'docker-publish']
/** Where the program may stand in a command line: first, behind an interpreter, or behind `busybox ash`. */
const PLACES = [0, 1, 2]

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
  return PLACES.some((at) => PROXYD_NAMES.includes(basename(command[at] ?? '')))
}

function findProgram(words: readonly string[]): ProxyCommand | undefined {
  const place = PLACES.find((at) => basename(words[at] ?? '') === PROXY_NAME)
  if (place === undefined) return undefined
  const [path = PROXY_NAME, ...args] = words.slice(place)
  return { path, args }
}
