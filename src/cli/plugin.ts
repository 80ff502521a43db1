import { connect } from 'node:net'
import { constants } from 'node:os'

/** Set by the docker command for its plugins. */
const PLUGIN_VARIABLE = 'DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND'
/** An abstract socket whose end means that the docker command was interrupted. */
const SOCKET_VARIABLE = 'DOCKER_CLI_PLUGIN_SOCKET'
/** As a shell reports the signal. */
const EXIT_INTERRUPTED = 128 + constants.signals.SIGINT
/** The name of the plugin: `docker publish`. */
const PLUGIN = 'publish'
/** docker's request for completions: its words, the last of which is to be completed. Source: cobra. */
const COMPLETE = '__complete'

/** docker's global options that have a value, and the variable that says the same to us. */
const OPTIONS_WITH_VALUE: Readonly<Record<string, string | undefined>> = {
  '-H': 'DOCKER_HOST',
  '--host': 'DOCKER_HOST',
  '-c': 'DOCKER_CONTEXT',
  '--context': 'DOCKER_CONTEXT',
  '--config': 'DOCKER_CONFIG',
  '-l': undefined,
  '--log-level': undefined,
  '--tlscacert': undefined,
  '--tlscert': undefined,
  '--tlskey': undefined,
}

/** A call by the docker command. */
export interface PluginCall {
  /** Our own arguments, behind `publish`. */
  readonly args: readonly string[]
  /** What docker's global options before `publish` say. */
  readonly env: Readonly<Record<string, string>>
  /** Whether the last argument is to be completed. */
  readonly isCompletion: boolean
}

/** Reads a call by the docker command: `[docker's global options] publish ARGS…`. @returns undefined if a user calls the program */
export function pluginCall(
  words: readonly string[],
  env: NodeJS.ProcessEnv,
): PluginCall | undefined {
  const isCompletion = words[0] === COMPLETE && words[1] === PLUGIN
  if (isCompletion) return { args: words.slice(2), env: {}, isCompletion }
  if (env[PLUGIN_VARIABLE] === undefined) return undefined
  const settings: Record<string, string> = {}
  // `docker help publish`.
  if (words[0] === 'help' && words[1] === PLUGIN) {
    return { args: [...words.slice(2), '--help'], env: {}, isCompletion }
  }
  for (let i = 0; i < words.length; i++) {
    const word = words[i] ?? ''
    if (word === PLUGIN) return { args: words.slice(i + 1), env: engineOf(settings), isCompletion }
    if (!word.startsWith('-')) return undefined
    const [option, inline] = splitOption(word)
    if (!(option in OPTIONS_WITH_VALUE)) continue
    const value = inline ?? words[++i] ?? ''
    const variable = OPTIONS_WITH_VALUE[option]
    if (variable !== undefined) settings[variable] = value
  }
  return undefined
}

/** The option of a word, and its value if the word contains it: `--host=X`, `-H=X`, `-HX`, and `-DHX` behind a switch. */
function splitOption(word: string): [option: string, value: string | undefined] {
  const [, switches = '', letter = '', glued] = /^-(D*)([A-Za-z])(?:=?(.+))?$/s.exec(word) ?? []
  if (letter !== '') return [switches + letter === 'D' ? word : `-${letter}`, glued]
  const [option = '', value] = word.split(/=(.*)/s, 2)
  return [option, value]
}

/** A context that docker's options name counts more than the host of the environment, but `default` is that host. */
function engineOf(settings: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  const { DOCKER_CONTEXT: context, DOCKER_HOST: host } = settings
  const isOther = context !== undefined && context !== 'default' && host === undefined
  return isOther ? { ...settings, DOCKER_HOST: '' } : settings
}

/** docker gives exit code 255 to a plugin that a signal ends. A command that handles the signal itself ends as it wants. */
export function exitOnInterrupt(): void {
  process.on('SIGINT', () => {
    if (process.listenerCount('SIGINT') === 1) process.exit(EXIT_INTERRUPTED)
  })
}

/** Ends this process as SIGTERM does when the docker command is interrupted. */
export function endWithDocker(env: NodeJS.ProcessEnv): void {
  const name = env[SOCKET_VARIABLE]?.replace(/^@/, '')
  if (!name) return
  const socket = connect(`\0${name}`)
  socket.on('error', () => undefined)
  socket.on('connect', () => {
    socket.on('close', () => process.kill(process.pid, 'SIGTERM'))
    socket.resume().unref()
  })
  socket.unref()
}
