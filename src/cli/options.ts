import { basename, join } from 'node:path'
import type { Argv } from 'yargs'
import { Client } from '../api/client.js'
import { parseHost } from '../api/host.js'
import { readToken } from '../api/token.js'
import type { TlsFiles } from '../api/tls.js'
import { WHEN_STOPPED } from '../controller/following.js'
import { ISOLATION_CHOICES, MAX_PORTS_WITH_PROCESSES } from '../controller/isolation.js'
import { PORT_GRAMMAR } from '../ports/port-spec.js'
import { errnoCode } from '../linux/errno.js'
import { processCommand, processIds, processStartDate } from '../linux/proc/process.js'
import { isLoopback } from '../linux/sockets/ip-address.js'
import { LOG_LEVELS, type LogFormat, type LogLevel } from '../log/log.js'
import { StderrLog } from '../log/stderr-log.js'
import {
  parsePortOptions,
  PORT_OPTIONS,
  PortOptionError,
  type PortOptionTexts,
} from '../proxy/port-options.js'
import { LOG_FORMAT_VARIABLE } from '../proxy/settings.js'
import { environmentSetting } from './environment.js'
import { checkTemplate, isTemplate } from './go-template.js'
import { LOG_FORMAT_OPTION } from './log-format-option.js'
import { defaultClientHost } from './paths.js'
import { UsageError } from './usage-error.js'

/*
 * Options that several commands share.
 */

/** A daemon listens within this time after its start, milliseconds. */
const STARTING_MS = 10_000

export interface ClientArgs {
  host: string | undefined
  tlsverify: boolean | undefined
  tlscacert: string | undefined
  tlscert: string | undefined
  tlskey: string | undefined
  'token-file': string | undefined
}

/** The options for authentication on tcp:// hosts. */
export function withAuthentication<T>(yargs: Argv<T>) {
  return yargs
    .option('token-file', {
      type: 'string',
      requiresArg: true,
      describe:
        'file with the token for tcp:// hosts; the daemon makes it [DOCKER_PUBLISH_TOKEN_FILE]',
    })
    .option('tlsverify', {
      type: 'boolean',
      describe: 'use TLS on tcp:// hosts; both sides must show a certificate',
    })
    .option('tlscacert', {
      type: 'string',
      describe:
        'the authority that both sides trust; ca.pem, cert.pem and key.pem of [DOCKER_PUBLISH_CERT_PATH]',
    })
    .option('tlscert', { type: 'string', describe: 'the certificate of this program' })
    .option('tlskey', { type: 'string', describe: 'the private key of this program' })
}

export function withClient<T>(yargs: Argv<T>) {
  return withAuthentication(yargs).option('host', {
    alias: 'H',
    type: 'string',
    requiresArg: true,
    describe: 'the daemon: unix:///PATH, tcp://IP:PORT, ssh://[USER@]HOST [DOCKER_PUBLISH_HOST]',
  })
}

/** @param args with the program's name, which yargs adds @throws UsageError, HostError */
export function openClient(args: ClientArgs & { $0: string }): Client {
  const { host = environmentSetting('DOCKER_PUBLISH_HOST'), $0: program } = args
  const tokenFile = tokenFileOf(args)
  const parsed = parseHost(host || defaultClientHost())
  const token = tokenFile === undefined || parsed.kind !== 'tcp' ? undefined : readToken(tokenFile)
  const isHere = parsed.kind === 'unix' || (parsed.kind === 'tcp' && isLoopback(parsed.ip))
  const isStarting = (): boolean => isHere && isDaemonStarting(program)
  return new Client(parsed, { tls: tlsFiles(args), token, isStarting, program })
}

/**
 * Asks the daemon. If none runs, and the user has named none, `without` replaces the answer.
 * @throws as `ask` and `without`
 */
export async function orWithoutDaemon<T>(
  args: Pick<ClientArgs, 'host'>,
  ask: () => Promise<T>,
  without: () => T | Promise<T>,
): Promise<T> {
  try {
    return await ask()
  } catch (err) {
    const isNamed = Boolean(args.host ?? environmentSetting('DOCKER_PUBLISH_HOST'))
    if (isNamed || errnoCode(err) !== 'ENODAEMON') throw err
    return without()
  }
}

/** Whether a daemon was started on this machine just now. If it does not listen yet, it is about to. */
function isDaemonStarting(program: string): boolean {
  return processIds().some((pid) => {
    const command = processCommand(pid) ?? []
    if (!command.includes('daemon')) return false
    if (!command.some((word) => basename(word) === program)) return false
    return Date.now() - (processStartDate(pid) ?? 0) < STARTING_MS
  })
}

/** The file that --token-file or the environment names. */
export function tokenFileOf(args: Pick<ClientArgs, 'token-file'>): string | undefined {
  return (args['token-file'] ?? environmentSetting('DOCKER_PUBLISH_TOKEN_FILE')) || undefined
}

/** @throws UsageError if a file is missing */
export function tlsFiles(args: Omit<ClientArgs, 'host'>): TlsFiles | undefined {
  const folder = environmentSetting('DOCKER_PUBLISH_CERT_PATH')
  const inFolder = (name: string): string | undefined => folder && join(folder, name)
  const { tlsverify = folder !== undefined } = args
  const ca = args.tlscacert ?? inFolder('ca.pem')
  const cert = args.tlscert ?? inFolder('cert.pem')
  const key = args.tlskey ?? inFolder('key.pem')
  if (!tlsverify) {
    if (folder !== undefined) return undefined // --no-tlsverify
    if (ca ?? cert ?? key) throw new UsageError('certificates need --tlsverify: add it')
    return undefined
  }
  if (!ca || !cert || !key) {
    throw new UsageError('--tlsverify needs --tlscacert, --tlscert and --tlskey')
  }
  return { ca, cert, key }
}

export function withFormat<T>(yargs: Argv<T>) {
  return yargs.option('format', {
    choices: ['table', 'json'] as const,
    requiresArg: true,
    default: 'table' as const,
    describe: 'a table for people, or JSON for programs',
  })
}

/**
 * --format of a command that also takes templates.
 * @param fields that a template may name; undefined if only the answer tells them
 */
export function withTemplate<T>(yargs: Argv<T>, { formats, fields, example }: TemplateOptions) {
  const [byDefault] = formats
  return yargs.option('format', {
    type: 'string',
    requiresArg: true,
    default: byDefault,
    describe: `${formats.join(', ')}, or a template as docker takes it: ${example}, {{json .}}`,
    coerce(format: string) {
      if (formats.includes(format)) return format
      if (!isTemplate(format)) {
        throw new UsageError(
          `invalid --format ${JSON.stringify(format)}: expected ${formats.join(', ')}, or a template, for example '${example}'`,
        )
      }
      checkTemplate(format, example, fields)
      return format
    },
  })
}

interface TemplateOptions {
  /** The first one is the default. */
  readonly formats: readonly [string, ...string[]]
  readonly fields?: readonly string[]
  /** A template that users may write. */
  readonly example: string
}

const PUBLISH_OPTION = {
  alias: 'p',
  type: 'string',
  requiresArg: true,
  describe: `${PORT_GRAMMAR}; may be repeated`,
  coerce: (value: string | string[]) => [value].flat(),
} as const
/** The message without `-p`. */
const NEEDS_PUBLISH = 'at least one -p is needed, for example -p 8080:80'

export function withPublish<T>(yargs: Argv<T>) {
  return yargs.option('publish', { ...PUBLISH_OPTION, demandOption: NEEDS_PUBLISH })
}

/** As withPublish, for a command that can do without `-p`. */
export function withOptionalPublish<T>(yargs: Argv<T>) {
  return yargs.option('publish', PUBLISH_OPTION)
}

/** The options of published ports. */
export function withPortOptions<T>(yargs: Argv<T>): Argv<T> {
  for (const { name, describe } of PORT_OPTIONS) {
    yargs.option(name, { type: 'string', requiresArg: true, describe })
  }
  return yargs
}

/** The options of published ports that were given. @throws UsageError if one is invalid */
export function portOptionsOf(args: Readonly<Record<string, unknown>>): PortOptionTexts {
  const texts: Record<string, string> = {}
  for (const { name } of PORT_OPTIONS) {
    const text = args[name]
    // yargs takes `--no-NAME` for every option.
    if (text === false) throw new UsageError(`unknown option --no-${name}: see --${name} in --help`)
    if (typeof text === 'string') texts[name] = text
  }
  try {
    parsePortOptions(texts, (name) => `--${name}`)
  } catch (err) {
    throw err instanceof PortOptionError ? new UsageError(err.message) : err
  }
  return texts
}

/** The options of a new publication beside its ports. */
export function withPublication<T>(yargs: Argv<T>) {
  const withOthers = yargs
    .option('name', { type: 'string', requiresArg: true, describe: 'name of the publication' })
    .option('isolation', {
      choices: ISOLATION_CHOICES,
      requiresArg: true,
      default: 'auto' as const,
      describe: `process: one for each port; shared: one for all ports; auto: shared for more than ${MAX_PORTS_WITH_PROCESSES} ports`,
    })
    .option('network', {
      type: 'string',
      requiresArg: true,
      describe: 'network in which the container is reached; by default the first one that works',
    })
    .option('when-stopped', {
      choices: WHEN_STOPPED,
      requiresArg: true,
      default: 'refuse' as const,
      describe:
        'while the container is stopped: refuse clients, hold them for up to half a minute, or close-port',
    })
    .option('keep', {
      type: 'boolean',
      default: false,
      describe:
        'keep the publication when the container is removed, for the next container of that name',
    })
    .option('address-only', {
      type: 'boolean',
      default: false,
      describe: 'forward to this IP address, and follow no container',
    })
    .option('file', {
      alias: 'f',
      type: 'string',
      requiresArg: true,
      describe: 'compose file that defines the service <container>; may be repeated',
      coerce: (value: string | string[] | undefined) => (value === undefined ? [] : [value].flat()),
    })
    .option('project-name', {
      type: 'string',
      requiresArg: true,
      describe: 'compose project of the service <container>',
    })
    .positional('container', {
      type: 'string',
      demandOption: true,
      describe: 'name or id, PROJECT/SERVICE of compose, or IP address',
    })
  return withPortOptions(withOthers)
}

export function withProxy<T>(yargs: Argv<T>) {
  return yargs
    .option('proxy-path', {
      type: 'string',
      requiresArg: true,
      describe: "the docker-proxy to start, ours or Docker's own [DOCKER_PUBLISH_PROXY_PATH]",
    })
    .option('log-format', LOG_FORMAT_OPTION)
    .option('log-level', {
      choices: LOG_LEVELS,
      requiresArg: true,
      defaultDescription: 'info',
      describe: 'level of the log on stderr [DOCKER_PUBLISH_LOG_LEVEL]',
    })
}

/** Opens the log of a command that starts proxies, which log in the same form. @throws UsageError */
export function openLog(
  program: string,
  args: {
    readonly 'log-level': LogLevel | undefined
    readonly 'log-format': LogFormat | undefined
  },
): StderrLog {
  const format = args['log-format']
  if (format) process.env[LOG_FORMAT_VARIABLE] = format
  return StderrLog.open(program, args['log-level'] ?? logLevelFromEnvironment(), format)
}

/** The level of a log without --log-level. @throws UsageError */
function logLevelFromEnvironment(): LogLevel {
  const text = environmentSetting('DOCKER_PUBLISH_LOG_LEVEL')
  if (text === undefined) return 'info'
  const level = LOG_LEVELS.find((each) => each === text)
  if (level) return level
  throw new UsageError(
    `invalid setting ${JSON.stringify(text)} for DOCKER_PUBLISH_LOG_LEVEL: use one of ${LOG_LEVELS.join(', ')}`,
  )
}
