import { isProtocol, type PublishedPort } from './published-port.js'
import { parseBool, parseInteger, parseIp, ValueError } from './go-values.js'

/** What the command line asked for. */
export interface Flags {
  proto: string
  hostIp: string
  hostPort: number
  containerIp: string
  containerPort: number
  useListenFd: boolean
  version: boolean
}

/** The port that flags ask for, but for a socket that was handed over; undefined for an unknown protocol. */
export function portOfFlags(flags: Flags): PublishedPort | undefined {
  const { proto, hostIp, hostPort, containerIp, containerPort } = flags
  return isProtocol(proto)
    ? { protocol: proto, hostIp, hostPort, containerIp, containerPort }
    : undefined
}

/** Why the command line can't be followed; help that was asked for has no message. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
  readonly exitCode: 0 | 2

  constructor(message: string) {
    super(message)
    this.exitCode = message === '' ? 0 : 2
  }
}

interface Flag {
  /** The value's kind as the usage text names it. */
  readonly kind: 'int' | 'string' | 'value' | 'bool'
  readonly help: string
  readonly default?: string
  set(flags: Flags, text: string): void
}

const VERSION: Flag = {
  kind: 'bool',
  help: 'print version information and quit',
  set: (flags, text) => (flags.version = parseBool(text)),
}

// In the order of the usage text, which is that of the alphabet.
const FLAGS: Record<string, Flag> = {
  'container-ip': {
    kind: 'value',
    help: 'container ip',
    default: '0.0.0.0',
    set: (flags, text) => (flags.containerIp = parseIp(text)),
  },
  'container-port': {
    kind: 'int',
    help: 'container port',
    default: '-1',
    set: (flags, text) => (flags.containerPort = parseInteger(text)),
  },
  'host-ip': {
    kind: 'value',
    help: 'host ip',
    default: '0.0.0.0',
    set: (flags, text) => (flags.hostIp = parseIp(text)),
  },
  'host-port': {
    kind: 'int',
    help: 'host port',
    default: '-1',
    set: (flags, text) => (flags.hostPort = parseInteger(text)),
  },
  proto: {
    kind: 'string',
    help: 'proxy protocol',
    default: '"tcp"',
    set: (flags, text) => (flags.proto = text),
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
 * Reads a command line by the rules of Go's `flag` package.
 * Parsing stops at the first argument that is no flag, and after `--`; what follows is ignored.
 * @throws UsageError with Go's text
 */
export function parseFlags(args: readonly string[]): Flags {
  const flags: Flags = {
    proto: 'tcp',
    hostIp: '0.0.0.0',
    hostPort: -1,
    containerIp: '0.0.0.0',
    containerPort: -1,
    useListenFd: false,
    version: false,
  }
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? ''
    const dashes = /^-{0,2}/.exec(arg)?.[0].length ?? 0
    if (dashes === 0 || arg === '-' || arg === '--') break

    const [name, inlineValue] = splitOnce(arg.slice(dashes), '=')
    if (name === '' || name.startsWith('-')) throw new UsageError(`bad flag syntax: ${arg}`)
    const flag = Object.hasOwn(FLAGS, name) ? FLAGS[name] : undefined
    if (!flag) {
      if (name === 'h' || name === 'help') throw new UsageError('')
      throw new UsageError(`flag provided but not defined: -${name}`)
    }
    const value = inlineValue ?? (flag.kind === 'bool' ? 'true' : args[++i])
    if (value === undefined) throw new UsageError(`flag needs an argument: -${name}`)
    try {
      flag.set(flags, value)
    } catch (err) {
      if (!(err instanceof ValueError)) throw err
      const invalid = flag.kind === 'bool' ? 'invalid boolean value' : 'invalid value'
      const preposition = flag.kind === 'bool' ? 'for' : 'for flag'
      throw new UsageError(`${invalid} ${quote(value)} ${preposition} -${name}: ${err.message}`)
    }
  }
  return flags
}

/** The usage text; `program` is the name it was called by. */
export function usage(program: string): string {
  const lines = [`Usage of ${program}:`]
  for (const [name, flag] of Object.entries(FLAGS)) {
    const kind = flag.kind === 'bool' ? '' : ` ${flag.kind}`
    // Go puts the help of a boolean with a name of one letter on the same line.
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

/** Text between double quotes with Go's escapes, so that an odd value stays on one line. */
function quote(text: string): string {
  return JSON.stringify(text).replace(/\\u([0-9a-f]{4})/g, (whole, hex: string) =>
    hex.startsWith('00') ? `\\x${hex.slice(2)}` : whole,
  )
}
