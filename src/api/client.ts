import { spawn } from 'node:child_process'
import { once } from 'node:events'
// Not undici: loading it takes 45 ms, ten times as long as node:http, see docs/decisions/.
import { request, type ClientRequestArgs, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { createInterface } from 'node:readline'
import { Duplex } from 'node:stream'
import { json } from 'node:stream/consumers'
import type { PublicationEvent } from '../controller/publication-event.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { RequestError } from '../controller/request-error.js'
import type { DockerPortView, PublicationView } from '../controller/views.js'
import { errnoReason } from '../linux/errno.js'
import type { HostPort } from '../ports/host-port.js'
import { Refusal, type RefusalCode } from '../ports/refusal.js'
import { API_VERSION } from './api-version.js'
import { BAD_REQUEST } from './error-reply.js'
import { formatHost, HostError, type Host } from './host.js'
import type { ErrorView, VersionView } from './schemas.js'
import { readTls, type TlsFiles } from './tls.js'

/** The daemon can't be reached. The message says where it was expected, and what to do. */
class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code = 'ENODAEMON'
}

const NO_CONTENT = 204
/** A daemon that publishes a range may be busy for long, but not silent for longer than this, milliseconds. */
const TIMEOUT_MS = 300_000

export interface ClientOptions {
  readonly tls?: TlsFiles | undefined
  /** The name of the program in messages. */
  readonly program: string
}

/**
 * A client of a daemon's API. Each call rejects with RequestError or Refusal as the controller itself would, and with ConnectionError if
 * there is no reply.
 */
export class Client {
  readonly #host: Host
  readonly #options: ClientOptions

  constructor(host: Host, options: ClientOptions) {
    this.#host = host
    this.#options = options
  }

  version(): Promise<VersionView> {
    return this.#call('GET', 'version')
  }

  list(): Promise<PublicationView[]> {
    return this.#call('GET', 'publications')
  }

  get(name: string): Promise<PublicationView> {
    return this.#call('GET', `publications/${encodeURIComponent(name)}`)
  }

  dockerPorts(): Promise<DockerPortView[]> {
    return this.#call('GET', 'docker-ports')
  }

  add(publication: PublicationRequest): Promise<PublicationView> {
    return this.#call('POST', 'publications', publication)
  }

  async remove(name: string): Promise<void> {
    await this.#call('DELETE', `publications/${encodeURIComponent(name)}`)
  }

  check(ports: readonly string[]): Promise<HostPort[]> {
    return this.#call('POST', 'check', { ports })
  }

  /** Yields events from now on, until the daemon ends or the caller leaves the loop. */
  async *events(): AsyncGenerator<PublicationEvent> {
    const response = await this.#send('GET', 'events')
    try {
      for await (const line of createInterface({ input: response })) {
        if (line !== '') yield JSON.parse(line) as PublicationEvent
      }
    } catch (err) {
      throw new ConnectionError(
        `the daemon at ${formatHost(this.#host)} has gone: ${errnoReason(err)}`,
      )
    } finally {
      response.destroy()
    }
  }

  async #call<T>(method: string, path: string, body?: unknown): Promise<T> {
    const response = await this.#send(method, path, body)
    if (response.statusCode === NO_CONTENT) {
      response.resume()
      return undefined as T
    }
    return (await this.#parse(response)) as T
  }

  async #send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options: ClientRequestArgs = {
      ...this.#address(),
      method,
      path: `/${API_VERSION}/${path}`,
      headers: text === undefined ? {} : { 'content-type': 'application/json' },
    }
    const { tls, program } = this.#options
    const isSecure = tls && this.#host.kind === 'tcp'
    const sent = isSecure ? requestTls({ ...options, ...readTls(tls) }) : request(options)
    // Only the first error counts, but more may follow.
    sent.on('error', () => undefined)
    sent.end(text)
    let response: IncomingMessage
    try {
      const signal = AbortSignal.timeout(TIMEOUT_MS)
      ;[response] = (await once(sent, 'response', { signal })) as [IncomingMessage]
    } catch (err) {
      sent.destroy()
      throw new ConnectionError(
        `can't reach the daemon at ${formatHost(this.#host)}: ${errnoReason(err)}; ` +
          `start it with "${program} daemon", or name another one with -H`,
      )
    }
    if ((response.statusCode ?? 0) < BAD_REQUEST) return response
    throw errorOf((await this.#parse(response)) as ErrorView)
  }

  async #parse(response: IncomingMessage): Promise<unknown> {
    try {
      return await json(response)
    } catch {
      const host = formatHost(this.#host)
      throw new ConnectionError(
        `${host} answered, but it is not a daemon of ${this.#options.program}: name another one with -H`,
      )
    }
  }

  #address(): ClientRequestArgs {
    const host = this.#host
    switch (host.kind) {
      case 'unix':
        return { socketPath: host.path, agent: false }
      case 'tcp':
        return { host: host.ip, port: host.port, agent: false }
      case 'ssh':
        return { createConnection: () => dialOverSsh(host) }
      case 'fd':
        throw new HostError('the host "fd://" is for the daemon only: name another one with -H')
    }
  }
}

function errorOf({ code, message, holder, suggestions }: ErrorView): Error {
  if (code === 'bad-request') return new RequestError(message)
  return new Refusal(code as RefusalCode, message, {
    ...(holder ? { holder } : {}),
    ...(suggestions ? { suggestions } : {}),
  })
}

/** Reaches a remote daemon through its own command, so only ssh has to be open. */
function dialOverSsh({ user, host, port }: Extract<Host, { kind: 'ssh' }>): Duplex {
  const options = [
    ...(user === undefined ? [] : ['-l', user]),
    ...(port === undefined ? [] : ['-p', String(port)]),
  ]
  const ssh = spawn('ssh', [...options, '--', host, 'docker-publish', 'dial-stdio'], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const stream = Duplex.from({ writable: ssh.stdin, readable: ssh.stdout })
  ssh.on('error', (err) => stream.destroy(err))
  ssh.on('exit', (code) => {
    if (code) stream.destroy(new Error(`ssh ended with exit code ${code}`))
  })
  stream.on('close', () => ssh.kill())
  return stream
}
