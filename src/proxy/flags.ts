import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { isProtocol } from '../ports/host-port.js'
import type { PublishedPort } from './published-port.js'
import { parseBool, parseInteger, parseIp, ValueError } from './go-values.js'

/** A parsed command line: the port, whose protocol may be unknown, and what to do with it. */
export interface Flags extends SocketAddress {
  /** The value of -proto. */
  readonly protocol: string
  readonly container: SocketAddress
  readonly useListenFd: boolean
  readonly version: boolean
}

/** The port that the flags describe; undefined for an unknown protocol. */
export function publishedPortOf(flags: Flags): PublishedPort | undefined {
  const { protocol, ip, port, container } = flags
  return isProtocol(protocol) ? { protocol, ip, port, container } : undefined
}

/**
 * The command line of a docker-proxy for a port, as dockerd writes it.
 * @param useListenFd whether a listening socket is handed over
 */
export function formatFlags(
  { protocol, ip, port, container }: PublishedPort,
  useListenFd: boolean,
): string[] {
  const flags = {
    proto: protocol,
    'host-ip': ip,
    'host-port': port,
    'container-ip': container.ip,
    'container-port': container.port,
  }
  const args = Object.entries(flags).flatMap(([flag, value]) => [`-${flag}`, String(value)])
  return useListenFd ? [...args, '-use-listen-fd'] : args
}

/** A command line that can't be parsed, or a request for help, whose message is empty. */
export class FlagError extends Error {
  override readonly name = 'FlagError'
  readonly exitCode: 0 | 2

  constructor(message: string) {
    super(message)
    this.exitCode = message === '' ? 0 : 2
  }
}

/** The flags while they are being parsed. */
type Draft = { -readonly [Key in keyof Flags]: Flags[Key] }

interface Flag {
  /** The type as the usage text names it. */
  readonly kind: 'int' | 'string' | 'value' | 'bool'
  readonly help: string
  readonly default?: string
  set(flags: Draft, text: string): void
}

const VERSION: Flag = {
  kind: 'bool',
  help: 'print version information and quit',
  set: (flags, text) => (flags.version = parseBool(text)),
}

// In the order of the usage text: alphabetical.
const FLAGS: Record<string, Flag> = {
  'container-ip': {
    kind: 'value',
    help: 'container ip',
    default: '0.0.0.0',
    set: (flags, text) => (flags.container = { ...flags.container, ip: parseIp(text) }),
  },
  'container-port': {
    kind: 'int',
    help: 'container port',
    default: '-1',
    set: (flags, text) => (flags.container = { ...flags.container, port: parseInteger(text) }),
  },
  'host-ip': {
    kind: 'value',
    help: 'host ip',
    default: '0.0.0.0',
    set: (flags, text) => (flags.ip = parseIp(text)),
  },
  'host-port': {
    kind: 'int',
    help: 'host port',
    default: '-1',
    set: (flags, text) => (flags.port = parseInteger(text)),
  },
  proto: {
    kind: 'string',
    help: 'proxy protocol',
    default: '"tcp"',
    set: (flags, text) => (flags.protocol = text),
  },
  'use-listen-fd': {
    kind: 'bool',
    help: 'use a supplied listen fd',
    set: (flags, text) => (flags.useListenFd = parseBool(text)),
  },
  v: VERSION,
  version: VERSION,
}

/**
 * Parses a command line by the rules of Go's `flag` package. Parsing stops at the first argument that is not a flag, and after `--`; the
 * rest is ignored.
 * @throws FlagError with Go's text
 */
export function parseFlags(args: readonly string[]): Flags {
  const flags: Draft = {
    protocol: 'tcp',
    ip: '0.0.0.0',
    port: -1,
    container: { ip: '0.0.0.0', port: -1 },
    useListenFd: false,
    version: false,
  }
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    const dashes = /^-{0,2}/.exec(arg)?.[0].length ?? 0
    if (dashes === 0 || arg === '-' || arg === '--') break

    const [name, inlineValue] = splitOnce(arg.slice(dashes), '=')
    if (name === '' || name.startsWith('-')) throw new FlagError(`bad flag syntax: ${arg}`)
    const flag = findFlag(name)
    const value = inlineValue ?? (flag.kind === 'bool' ? 'true' : args[++i])
    if (value === undefined) throw new FlagError(`flag needs an argument: -${name}`)
    setFlag(flags, name, flag, value)
  }
  return flags
}

function findFlag(name: string): Flag {
  const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined
  if (flag) return flag
  if (name === 'h' || name === 'help') throw new FlagError('')
  throw new FlagError(`flag provided but not defined: -${name}`)
}

function setFlag(flags: Draft, name: string, flag: Flag, value: string): void {
  try {
    flag.set(flags, value)
  } catch (err) {
    if (!(err instanceof ValueError)) throw err
    const invalid = flag.kind === 'bool' ? 'invalid boolean value' : 'invalid value'
    const preposition = flag.kind === 'bool' ? 'for' : 'for flag'
    throw new FlagError(`${invalid} ${quote(value)} ${preposition} -${name}: ${err.message}`)
  }
}

/** The usage text. @param program the name that the program was called by */
export function usage(program: string): string {
  const lines = [`Usage of ${program}:`]
  for (const [name, flag] of Object.entries(FLAGS)) {
    const kind = flag.kind === 'bool' ? '' : ` ${flag.kind}`
    // Go writes the help of a boolean flag with a one-letter name on the same line.
    const gap = name.length === 1 && kind === '' ? '\t' : '\n    \t'
    const byDefault = flag.default === undefined ? '' : ` (default ${flag.default})`
    lines.push(`  -${name}${kind}${gap}${flag.help}${byDefault}`)
  }
  return lines.join('\n') + '\n'
}

function splitOnce(text: string, separator: string): [string, string | undefined] {
  const at = text.indexOf(separator)
  return at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)]
}

/** Quotes a value with Go's escapes, so that it stays on one line. */
function quote(text: string): string {
  return JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, (whole, hex: string) =>
    hex.startsWith('00') ? `\\x${hex.slice(2)}` : whole,
  )
}
