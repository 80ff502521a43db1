import { existsSync, readFileSync } from 'node:fs'
import { request as httpRequest, type IncomingMessage, type RequestOptions } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { text as readText } from 'node:stream/consumers'
import { errnoReason } from '../linux/errno.js'
import { printable } from '../printable.js'
import { dialOverSsh } from '../ssh.js'
import { formatEngineHost, type EngineHost, type EngineTls } from './engine-host.js'

/** An answer comes within this time, milliseconds. */
const TIMEOUT_MS = 10_000
/** The newest version of the API that this client knows. Older engines get their own. */
const MAX_VERSION = '1.51'

/** A request that the engine refused, or did not answer. */
export class EngineError extends Error {
  override readonly name = 'EngineError'

  /** @param status of HTTP; undefined if there was no answer */
  constructor(
    message: string,
    readonly status: number | undefined,
    options?: ErrorOptions,
  ) {
    super(message, options)
  }

  get isNotFound(): boolean {
    return this.status === 404
  }
}

/** Query parameters of a request. */
type Query = Readonly<Record<string, string>>

/** Reads from a Docker Engine, or from a program with the same API. Changes nothing there. */
export class EngineClient {
  #version: string | undefined

  constructor(readonly host: EngineHost) {}

  /** Agrees on a version of the API. Rejects with EngineError. */
  async connect(): Promise<void> {
    const response = await this.#request('/_ping', AbortSignal.timeout(TIMEOUT_MS))
    response.resume()
    const { 'api-version': version } = response.headers
    this.#version = typeof version === 'string' ? olderVersion(version, MAX_VERSION) : undefined
  }

  /**
   * Reads a JSON document.
   * @param timeoutMs time for the reply, milliseconds
   * Rejects with EngineError.
   */
  async get<T>(path: string, query: Query = {}, timeoutMs = TIMEOUT_MS): Promise<T> {
    const response = await this.#request(this.#path(path, query), AbortSignal.timeout(timeoutMs))
    try {
      return JSON.parse(await readText(response)) as T
    } catch (err) {
      throw this.#noAnswer(err)
    }
  }

  /**
   * Opens a stream that ends with the connection.
   * @param signal ends it
   * Rejects with EngineError.
   */
  async stream(path: string, query: Query, signal: AbortSignal): Promise<IncomingMessage> {
    const opening = AbortSignal.timeout(TIMEOUT_MS)
    const ended = new AbortController()
    const end = (): void => ended.abort()
    signal.addEventListener('abort', end, { once: true })
    opening.addEventListener('abort', end, { once: true })
    try {
      const response = await this.#request(this.#path(path, query), ended.signal)
      response.once('close', () => signal.removeEventListener('abort', end))
      return response
    } finally {
      opening.removeEventListener('abort', end)
    }
  }

  #path(path: string, query: Query): string {
    const text = new URLSearchParams(query).toString()
    const prefix = this.#version === undefined ? '' : `/v${this.#version}`
    return prefix + path + (text ? `?${text}` : '')
  }

  async #request(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    let response: IncomingMessage
    try {
      response = await new Promise<IncomingMessage>((resolve, reject) => {
        this.#send({ path, signal, agent: false }).on('response', resolve).on('error', reject).end()
      })
    } catch (err) {
      throw this.#noAnswer(err)
    }
    const { statusCode = 0 } = response
    if (statusCode >= 200 && statusCode < 300) return response
    const body = await readText(response).catch(() => '')
    const message = `${formatEngineHost(this.host)} answered ${statusCode}: ${messageOf(body)}`
    throw new EngineError(message, statusCode)
  }

  #send(options: RequestOptions) {
    const { host } = this
    switch (host.kind) {
      case 'unix':
        return httpRequest({ ...options, socketPath: host.path })
      case 'tcp': {
        const where = { ...options, host: host.host, port: host.port }
        return host.tls ? httpsRequest({ ...where, ...tlsOptions(host.tls) }) : httpRequest(where)
      }
      case 'ssh':
        // Node ignores createConnection beside an agent, even if that is false.
        return httpRequest({
          ...{ ...options, agent: undefined, host: 'docker' },
          // As the docker command does it.
          createConnection: () =>
            dialOverSsh(
              { ...host, user: host.user || undefined },
              ['docker', 'system', 'dial-stdio'],
              ['-o', 'BatchMode=yes', '-T'],
              'ignore',
            ),
        })
    }
  }

  #noAnswer(err: unknown): EngineError {
    const reason =
      err instanceof Error && ['AbortError', 'TimeoutError'].includes(err.name)
        ? `no answer within ${TIMEOUT_MS / 1000} s`
        : errnoReason(err)
    const message = `can't ask ${formatEngineHost(this.host)}: ${reason}`
    return new EngineError(message, undefined, { cause: err })
  }
}

function tlsOptions({ ca, cert, key, isVerified }: EngineTls) {
  const read = (path: string): Buffer | undefined =>
    existsSync(path) ? readFileSync(path) : undefined
  return { ca: read(ca), cert: read(cert), key: read(key), rejectUnauthorized: isVerified }
}

/** The text of an error reply, in a form that is safe to print. */
function messageOf(body: string): string {
  try {
    const { message } = JSON.parse(body) as { message?: unknown }
    if (typeof message === 'string') return printable(message.trim())
  } catch {
    // Not an error of the API.
  }
  return printable(body.trim().slice(0, 200)) || 'without an explanation'
}

/** Versions are MAJOR.MINOR. */
function olderVersion(a: string, b: string): string {
  const [[majorA = 0, minorA = 0], [majorB = 0, minorB = 0]] = [a, b].map((version) =>
    version.split('.').map(Number),
  ) as [number[], number[]]
  return majorA < majorB || (majorA === majorB && minorA < minorB) ? a : b
}
