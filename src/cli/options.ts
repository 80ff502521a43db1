import type { Argv } from 'yargs'
import { Client } from '../api/client.js'
import { parseHost } from '../api/host.js'
import type { TlsFiles } from '../api/tls.js'
import { ISOLATION_CHOICES, MAX_PORTS_WITH_PROCESSES } from '../controller/isolation.js'
import { LOG_LEVELS, type LogLevel } from '../log/log.js'
import { defaultClientHost } from './paths.js'
import { UsageError } from './usage-error.js'

/*
 * Options that several commands share.
 */

export interface ClientArgs {
  host: string | undefined
  tlsverify: boolean | undefined
  tlscacert: string | undefined
  tlscert: string | undefined
  tlskey: string | undefined
}

export function withTls<T>(yargs: Argv<T>) {
  return yargs
    .option('tlsverify', {
      type: 'boolean',
      describe: 'use TLS on tcp:// hosts; both sides must show a certificate',
    })
    .option('tlscacert', { type: 'string', describe: 'the authority that both sides trust' })
    .option('tlscert', { type: 'string', describe: 'our certificate' })
    .option('tlskey', { type: 'string', describe: 'our key' })
}

export function withClient<T>(yargs: Argv<T>) {
  return withTls(yargs).option('host', {
    alias: 'H',
    type: 'string',
    requiresArg: true,
    describe: 'the daemon: unix:///PATH, tcp://IP:PORT, ssh://[USER@]HOST [DOCKER_PUBLISH_HOST]',
  })
}

/** @param args with the program's name, which yargs adds @throws UsageError, HostError */
export function openClient(args: ClientArgs & { $0: string }): Client {
  const { host = process.env['DOCKER_PUBLISH_HOST'], $0: program } = args
  return new Client(parseHost(host || defaultClientHost()), { tls: tlsFiles(args), program })
}

/** @throws UsageError if a file is missing */
export function tlsFiles(args: Omit<ClientArgs, 'host'>): TlsFiles | undefined {
  const { tlsverify, tlscacert: ca, tlscert: cert, tlskey: key } = args
  if (!tlsverify) {
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

export function withPublish<T>(yargs: Argv<T>) {
  return yargs.option('publish', {
    alias: 'p',
    type: 'string',
    requiresArg: true,
    demandOption: 'at least one -p is needed, as -p 8080:80',
    describe: '[[hostIP:][hostPort[-end]]:]containerPort[-end][/tcp|/udp|/sctp]; may be repeated',
    coerce: (value: string | string[]) => [value].flat(),
  })
}

/** The options of a new publication: ports, container and name. */
export function withPublication<T>(yargs: Argv<T>) {
  return withPublish(yargs)
    .option('name', { type: 'string', requiresArg: true, describe: 'name of the publication' })
    .option('isolation', {
      choices: ISOLATION_CHOICES,
      requiresArg: true,
      default: 'auto' as const,
      describe: `a process for each port, or one for all; auto: one for more than ${MAX_PORTS_WITH_PROCESSES} ports`,
    })
    .positional('backend', { type: 'string', demandOption: true, describe: "the container's IP" })
}

export function withProxy<T>(yargs: Argv<T>) {
  return yargs
    .option('proxy-path', {
      type: 'string',
      requiresArg: true,
      describe: "the docker-proxy to start, ours or Docker's own [DOCKER_PUBLISH_PROXY_PATH]",
    })
    .option('log-level', {
      choices: LOG_LEVELS,
      requiresArg: true,
      default: logLevelFromEnvironment(),
      describe: 'level of the log on stderr [DOCKER_PUBLISH_LOG_LEVEL]',
    })
}

function logLevelFromEnvironment(): LogLevel {
  const { DOCKER_PUBLISH_LOG_LEVEL: text } = process.env
  if (!text) return 'info'
  const level = LOG_LEVELS.find((each) => each === text)
  if (level) return level
  throw new UsageError(
    `invalid setting ${JSON.stringify(text)} for DOCKER_PUBLISH_LOG_LEVEL: use one of ${LOG_LEVELS.join(', ')}`,
  )
}
