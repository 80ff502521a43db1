import { createHash } from 'node:crypto'
import { lookup } from 'node:dns/promises'
import { existsSync, readFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { isOwnAddress } from '../linux/sockets/own-addresses.js'

/** Where a Docker Engine, or a program with the same API, answers. */
export type EngineHost =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number; readonly tls?: EngineTls }
  | {
      readonly kind: 'ssh'
      readonly host: string
      readonly user: string
      readonly port: number | undefined
    }

/** Names of PEM files. A file that does not exist is not used. */
export interface EngineTls {
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** Whether the certificate of the engine is checked. */
  readonly isVerified: boolean
}

/** An engine that can't be used as it was named. The message says what was expected. */
export class EngineHostError extends Error {
  override readonly name = 'EngineHostError'
  readonly code = 'EENGINEHOST'
}

/** Docker's ports, see `docker context`. */
const PORT = { plain: 2375, tls: 2376 }

/**
 * Finds the engine as the docker command does: DOCKER_HOST, else DOCKER_CONTEXT, else the current context, else the default socket. Where
 * that socket does not exist, the sockets of rootless Docker and of Podman follow.
 * @throws EngineHostError
 */
export function findEngineHost(env: NodeJS.ProcessEnv): EngineHost {
  const { DOCKER_HOST: named, DOCKER_CONTEXT: context } = env
  if (named) return parseEngineHost(named, 'DOCKER_HOST', environmentTls(env))
  const folder = env['DOCKER_CONFIG'] || join(homedir(), '.docker')
  const name = context || currentContext(folder)
  if (name && name !== 'default') return contextHost(folder, name)
  const paths = defaultSockets(env)
  return { kind: 'unix', path: paths.find((path) => existsSync(path)) ?? (paths[0] as string) }
}

/** The engine as DOCKER_HOST names it. */
export function formatEngineHost(host: EngineHost): string {
  if (host.kind === 'unix') return `unix://${host.path}`
  const name = host.host.includes(':') ? `[${host.host}]` : host.host
  if (host.kind === 'tcp') return `tcp://${name}:${host.port}`
  return `ssh://${host.user ? `${host.user}@` : ''}${name}${host.port === undefined ? '' : `:${host.port}`}`
}

/**
 * Parses the address of an engine.
 * @param source names the setting in messages
 * @throws EngineHostError
 */
export function parseEngineHost(
  text: string,
  source: string,
  tls: EngineTls | undefined,
): EngineHost {
  const fail = (): never => {
    throw new EngineHostError(
      `invalid ${source} ${JSON.stringify(text)}: expected unix:///PATH, tcp://HOST:PORT or ssh://[USER@]HOST[:PORT]`,
    )
  }
  const path = /^unix:\/\/(\/.+)$/.exec(text)?.[1]
  if (path !== undefined) return { kind: 'unix', path }
  const url = URL.canParse(text) ? new URL(text) : fail()
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (host === '' || (url.pathname !== '' && url.pathname !== '/')) fail()
  const port = url.port === '' ? undefined : Number(url.port)
  switch (url.protocol) {
    case 'tcp:':
      return {
        ...{ kind: 'tcp', host, port: port ?? (tls ? PORT.tls : PORT.plain) },
        ...(tls ? { tls } : {}),
      }
    case 'ssh:':
      return { kind: 'ssh', host, user: decodeURIComponent(url.username), port }
    default:
      return fail()
  }
}

/**
 * Refuses an engine on another host: the addresses of its containers mean nothing here, or other containers.
 * Rejects with EngineHostError.
 */
export async function refuseRemoteEngine(host: EngineHost): Promise<void> {
  if (host.kind === 'unix') return
  let addresses: string[]
  try {
    addresses = (await lookup(host.host, { all: true })).map(({ address }) => address)
  } catch (err) {
    throw new EngineHostError(
      `can't find the host of ${formatEngineHost(host)}: ${errnoReason(err)}`,
    )
  }
  if (addresses.every(isOwnAddress)) return
  throw new EngineHostError(
    `${formatEngineHost(host)} is another host, and its containers can't be reached from here: run docker-publish on that host`,
  )
}

function defaultSockets(env: NodeJS.ProcessEnv): string[] {
  const { XDG_RUNTIME_DIR: folder } = env
  return [
    '/var/run/docker.sock',
    ...(folder ? [join(folder, 'docker.sock'), join(folder, 'podman/podman.sock')] : []),
    '/run/podman/podman.sock',
  ]
}

/** As the docker command: DOCKER_TLS_VERIFY with any value, or DOCKER_TLS for a connection that is not verified. */
function environmentTls(env: NodeJS.ProcessEnv): EngineTls | undefined {
  const { DOCKER_TLS_VERIFY: verify, DOCKER_TLS: tls, DOCKER_CERT_PATH: path } = env
  if (!verify && !tls) return undefined
  return tlsFiles(path || env['DOCKER_CONFIG'] || join(homedir(), '.docker'), Boolean(verify))
}

function tlsFiles(folder: string, isVerified: boolean): EngineTls {
  const [ca, cert, key] = ['ca', 'cert', 'key'].map((name) => join(folder, `${name}.pem`))
  return { ca: ca as string, cert: cert as string, key: key as string, isVerified }
}

/** @throws EngineHostError */
function currentContext(folder: string): string | undefined {
  const config = readJson(join(folder, 'config.json')) as { currentContext?: unknown } | undefined
  const name = config?.currentContext
  return typeof name === 'string' ? name : undefined
}

/** What is read of a context's file. Source: docker/cli, cli/context/store. */
interface ContextFile {
  readonly Endpoints?: {
    readonly docker?: { readonly Host?: string; readonly SkipTLSVerify?: boolean }
  }
}

/** @throws EngineHostError */
function contextHost(folder: string, name: string): EngineHost {
  const id = createHash('sha256').update(name).digest('hex')
  const path = join(folder, 'contexts/meta', id, 'meta.json')
  const file = readJson(path) as ContextFile | undefined
  if (!file) {
    throw new EngineHostError(
      `there is no docker context ${JSON.stringify(name)} in ${folder}: "docker context ls" lists them`,
    )
  }
  const { Host: host, SkipTLSVerify: skipsVerify } = file.Endpoints?.docker ?? {}
  if (!host) {
    throw new EngineHostError(`the docker context ${JSON.stringify(name)} names no host`)
  }
  const certificates = join(folder, 'contexts/tls', id, 'docker')
  const tls = existsSync(certificates) ? tlsFiles(certificates, !skipsVerify) : undefined
  return parseEngineHost(host, `host of the docker context ${name}`, tls)
}

/** @returns undefined if the file does not exist @throws EngineHostError */
function readJson(path: string): unknown {
  try {
    return JSON.parse(readFileSync(path, 'utf8'))
  } catch (err) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoCode(err) ?? '')) return undefined
    throw new EngineHostError(`can't read ${path}: ${errnoReason(err)}`)
  }
}
