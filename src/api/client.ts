import { once } from 'node:events'
// Not undici: loading it takes 45 ms, ten times as long as node:http, see docs/decisions/.
import { request, type ClientRequestArgs, type IncomingMessage } from 'node:http'
import { request as requestTls } from 'node:https'
import { createInterface } from 'node:readline'
import { json } from 'node:stream/consumers'
import type { ContainerView } from '../controller/container-view.js'
import type { PublicationEvent } from '../controller/publication-event.js'
import type { PublicationRequest } from '../controller/publication-request.js'
import { RequestError } from '../controller/request-error.js'
import type { DockerPortView, PublicationView } from '../controller/views.js'
import { errnoReason } from '../linux/errno.js'
import type { HostPort } from '../ports/host-port.js'
import { Refusal, type RefusalCode } from '../ports/refusal.js'
import { dialOverSsh } from '../ssh.js'
import { API_VERSION } from './api-version.js'
import { connectionError, ConnectionError, isAbsent } from './connection-error.js'
import { BAD_REQUEST, FORBIDDEN, UNAUTHORIZED } from './error-reply.js'
import { formatHost, HostError, type Host } from './host.js'
import type {
  ChangeRequest,
  ConnectionView,
  ErrorView,
  AddProgressView,
  LogLineView,
  UpgradeView,
  VersionView,
} from './schemas.js'
import { readTls, type TlsFiles } from './tls.js'

const CREATED = 201
const NO_CONTENT = 204
/** A daemon answers a question within this time, milliseconds. */
const READ_TIMEOUT_MS = 30_000
/** A change, for example of a range of ports, may take longer, milliseconds. */
const CHANGE_TIMEOUT_MS = 300_000
/** A daemon that is starting listens within this time, milliseconds, also on a busy machine. */
const START_TIMEOUT_MS = 30_000
/** Interval between attempts to reach it, milliseconds. */
const RETRY_MS = 50

export interface ClientOptions {
  readonly tls?: TlsFiles | undefined
  /** Shown to tcp:// hosts. */
  readonly token?: string | undefined
  /** Whether a daemon that can't be reached may be about to listen. By default it is not. */
  readonly isStarting?: () => boolean
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

  container(name: string): Promise<ContainerView> {
    return this.#call('GET', `containers/${encodeURIComponent(name)}`)
  }

  /**
   * Publishes ports.
   * @param onProgress called with the number of ports that are served so far, and of all
   */
  async add(
    request: PublicationRequest,
    onProgress?: (ready: number, ports: number) => void,
  ): Promise<PublicationView> {
    if (!onProgress) return this.#call('POST', 'publications', request)
    const response = await this.#send('POST', 'publications?progress=true', request)
    // A daemon of an earlier version knows no progress.
    if (response.statusCode === CREATED) return (await this.#parse(response)) as PublicationView
    response.setTimeout(CHANGE_TIMEOUT_MS, () => response.destroy(new Error('it is silent')))
    for await (const line of this.#linesOf<AddProgressView>(response)) {
      const { ready, ports, publication, error } = line
      if (publication) return publication
      if (error) throw errorOf(error)
      if (ready !== undefined && ports !== undefined) onProgress(ready, ports)
    }
    throw new ConnectionError(`the daemon at ${formatHost(this.#host)} has gone`)
  }

  /** Changes options of a publication. The others stay. */
  set(name: string, options: ChangeRequest['options']): Promise<PublicationView> {
    return this.#call('PATCH', `publications/${encodeURIComponent(name)}`, { options })
  }

  connections(name: string): Promise<ConnectionView[]> {
    return this.#call('GET', `publications/${encodeURIComponent(name)}/connections`)
  }

  /** @param drainMs when connections that are still open are cut, milliseconds; Infinity for never */
  upgrade(name: string, drainMs: number): Promise<UpgradeView> {
    const query = drainMs < Infinity ? `?drain=${drainMs}ms` : ''
    const path = `publications/${encodeURIComponent(name)}/upgrade${query}`
    return this.#call('POST', path)
  }

  /** @param drainMs time that open connections have to end, milliseconds */
  async remove(name: string, drainMs = 0): Promise<void> {
    const query = drainMs > 0 ? `?drain=${drainMs}ms` : ''
    const path = `publications/${encodeURIComponent(name)}${query}`
    await this.#call('DELETE', path, undefined, drainMs)
  }

  check(ports: readonly string[]): Promise<HostPort[]> {
    return this.#call('POST', 'check', { ports })
  }

  /** Yields events from now on, until the daemon ends or the caller leaves the loop. */
  events(): AsyncGenerator<PublicationEvent> {
    return this.#lines('events')
  }

  /**
   * Yields lines of the log of a publication's processes, until it is withdrawn or the caller leaves the loop.
   * @param tail the number of earlier lines at most; undefined for all that are kept
   * @param follow whether lines from now on follow
   */
  log(name: string, tail: number | undefined, follow: boolean): AsyncGenerator<LogLineView> {
    const query = `follow=${follow}${tail === undefined ? '' : `&tail=${tail}`}`
    return this.#lines(`publications/${encodeURIComponent(name)}/log?${query}`)
  }

  async *#lines<T>(path: string): AsyncGenerator<T> {
    yield* this.#linesOf(await this.#send('GET', path))
  }

  async *#linesOf<T>(response: IncomingMessage): AsyncGenerator<T> {
    try {
      for await (const line of createInterface({ input: response })) {
        if (line !== '') yield JSON.parse(line) as T
      }
    } catch (err) {
      throw new ConnectionError(
        `the daemon at ${formatHost(this.#host)} has gone: ${errnoReason(err)}`,
      )
    } finally {
      response.destroy()
    }
  }

  /** @param waitMs how much longer than usual the reply may take, milliseconds */
  async #call<T>(method: string, path: string, body?: unknown, waitMs = 0): Promise<T> {
    const response = await this.#send(method, path, body, waitMs)
    if (response.statusCode === NO_CONTENT) {
      response.resume()
      return undefined as T
    }
    return (await this.#parse(response)) as T
  }

  async #send(method: string, path: string, body?: unknown, waitMs = 0): Promise<IncomingMessage> {
    const { tls, program, isStarting = () => false } = this.#options
    const isSecure = tls !== undefined && this.#host.kind === 'tcp'
    const giveUpAt = performance.now() + START_TIMEOUT_MS
    let response: IncomingMessage | undefined
    while (!response) {
      try {
        response = await this.#request(method, path, body, waitMs)
      } catch (err) {
        if (err instanceof HostError) throw err
        if (!isAbsent(err) || performance.now() > giveUpAt || !isStarting()) {
          throw connectionError(err, this.#host, isSecure, program)
        }
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
      }
    }
    if ((response.statusCode ?? 0) < BAD_REQUEST) return response
    throw await this.#refusal(response)
  }

  /** Sends a request. Rejects with the error of node:http, or with AbortError if no reply comes in time. */
  async #request(
    method: string,
    path: string,
    body: unknown,
    waitMs: number,
  ): Promise<IncomingMessage> {
    const { tls, token } = this.#options
    const isTcp = this.#host.kind === 'tcp'
    const text = body === undefined ? undefined : JSON.stringify(body)
    const options: ClientRequestArgs = {
      ...this.#address(),
      method,
      path: `/${API_VERSION}/${path}`,
      headers: {
        ...(text === undefined ? {} : { 'content-type': 'application/json' }),
        ...(token === undefined || !isTcp ? {} : { authorization: `Bearer ${token}` }),
      },
    }
    const sent = tls && isTcp ? requestTls({ ...options, ...readTls(tls) }) : request(options)
    // Only the first error counts, but more may follow.
    sent.on('error', () => undefined)
    sent.end(text)
    const isRead = method === 'GET' || path === 'check'
    const signal = AbortSignal.timeout(waitMs + (isRead ? READ_TIMEOUT_MS : CHANGE_TIMEOUT_MS))
    try {
      const [response] = (await once(sent, 'response', { signal })) as [IncomingMessage]
      return response
    } catch (err) {
      sent.destroy()
      throw err
    }
  }

  async #refusal(response: IncomingMessage): Promise<Error> {
    const error = (await this.#parse(response)) as ErrorView
    if (response.statusCode !== UNAUTHORIZED && response.statusCode !== FORBIDDEN) {
      return errorOf(error)
    }
    return new ConnectionError(
      `the daemon at ${formatHost(this.#host)} refused the request: ${error.message}`,
    )
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
        // Only ssh has to be open: the daemon is reached through its own command.
        return {
          createConnection: () =>
            dialOverSsh(host, ['docker-publish', 'dial-stdio'], [], 'inherit'),
        }
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
