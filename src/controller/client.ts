import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { request, type ClientRequestArgs, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { createInterface } from 'node:readline'
import { Duplex } from 'node:stream'
import { json } from 'node:stream/consumers'
import { errnoReason } from '../linux/errno.js'
import { API_VERSION } from './api/api-version.js'
import { formatHost, type Host } from './api/host.js'
import { readTls, type TlsFiles } from './api/tls.js'
import type {
  DockerPortView,
  ErrorView,
  PublicationEvent,
  PublicationRequest,
  PublicationView,
  VersionView,
} from './api/types.js'
import type { Claim } from './claim.js'
import { Refusal, type RefusalCode } from './conflict.js'
import { RequestError } from './request-error.js'

/** The daemon could not be asked; the message says where it was looked for, and what to do. */
class ConnectionError extends Error {
  override readonly name = 'ConnectionError'
  readonly code = 'ENODAEMON'
}

const BAD_REQUEST = 400
/** A daemon that publishes a range may be busy for long, but not silent for so long; milliseconds. */
const TIMEOUT_MS = 300_000

/**
 * A daemon's API. Each call rejects with RequestError or Refusal as the controller itself would, and with
 * ConnectionError when there is no answer.
 */
export class Client {
  readonly #host: Host
  readonly #tls: TlsFiles | undefined

  constructor(host: Host, tls?: TlsFiles) {
    this.#host = host
    this.#tls = tls
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

  check(ports: readonly string[]): Promise<Claim[]> {
    return this.#call('POST', 'check', { ports })
  }

  /** What happens from now on, until the daemon ends or the caller leaves the loop. */
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
    if (response.statusCode === 204) {
      response.resume()
      return undefined as T
    }
    return (await this.#json(response)) as T
  }

  async #send(method: string, path: string, body?: unknown): Promise<IncomingMessage> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options: ClientRequestArgs = {
      ...this.#address(),
      method,
      path: `/${API_VERSION}/${path}`,
      headers: text === undefined ? {} : { 'content-type': 'application/json' },
    }
    const secure = this.#tls && this.#host.kind === 'tcp'
    const sent = secure ? requestTls({ ...options, ...readTls(this.#tls) }) : request(options)
    // Only the first failure counts, but there may be more.
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
          'start it with "docker-publish daemon", or name another with -H',
      )
    }
    if ((response.statusCode ?? 0) < BAD_REQUEST) return response
    throw errorOf((await this.#json(response)) as ErrorView)
  }

  async #json(response: IncomingMessage): Promise<unknown> {
    try {
      return await json(response)
    } catch {
      throw new ConnectionError(
        `what answers at ${formatHost(this.#host)} is no docker-publish daemon: name another with -H`,
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
        throw new ConnectionError('fd:// is for the daemon: name another host with -H')
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

/** The daemon over there, through its own command: nothing but ssh need be open. */
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
