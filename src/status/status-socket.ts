import { once } from 'node:events'
import { chmodSync, closeSync, constants, openSync, renameSync, rmSync } from 'node:fs'
import { createServer, Socket, type Server } from 'node:net'
import { basename, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { errnoReason } from '../linux/errno.js'
import { OWNER_ONLY } from '../linux/file-modes.js'
import { descriptorPath } from '../linux/proc/descriptors.js'
import { MAX_SOCKET_PATH } from '../linux/sockets/unix-path.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'

/*
 * A unix socket on which a process reports the ports that it serves. A client sends a line with a request, and gets a line of JSON, or lines
 * as they come.
 */

/** The environment variable that has a docker-proxy serve a status socket, and on which path. */
export const STATUS_SOCKET_VARIABLE = 'DOCKER_PROXY_STATUS_SOCKET'

/** The longest request, bytes: some options of ports are long. */
const MAX_REQUEST = 64 * 1024
/** Clients at once. */
const MAX_CLIENTS = 64
/** Clients at once while descriptors are short. */
const MAX_CLIENTS_IN_SHORTAGE = 8
/** A client is disconnected after this time, milliseconds. */
const CLIENT_TIMEOUT_MS = 30_000
/** A client has one socket, a relay has two. */
const RELAYS_PER_CLIENT = 0.5
/** How long a reply may take by default, milliseconds. */
const REPLY_TIMEOUT_MS = 5_000

/**
 * The reply to each request, by its first word. A Readable is a reply of many lines; the connection closes after the last one. Otherwise the
 * client closes the connection.
 * @param argument the rest of the request
 */
export type RequestHandlers = Readonly<
  Record<string, (connection: Socket, argument: string) => object | Promise<object>>
>

/**
 * Serves requests on a path. A socket that exists there is replaced.
 * @param descriptors of the process
 * Rejects if the path can't be used.
 */
export async function serveStatus(
  path: string,
  descriptors: DescriptorBudget,
  handlers: RequestHandlers,
): Promise<Server> {
  let clients = 0
  const server = createServer((connection) => {
    if (clients >= MAX_CLIENTS_IN_SHORTAGE && descriptors.isExhausted) {
      return void connection.destroy()
    }
    clients++
    descriptors.acquire(RELAYS_PER_CLIENT)
    connection.once('close', () => {
      clients--
      descriptors.release(RELAYS_PER_CLIENT)
    })
    handleRequests(connection, handlers)
  })
  server.maxConnections = MAX_CLIENTS
  // Bound under another name first: a closing server removes its socket file, which by then may belong to a successor.
  const ownPath = `${path}.${process.pid}`
  rmSync(ownPath, { force: true })
  try {
    await withShortPath(ownPath, (short) => once(server.listen(short), 'listening'))
    chmodSync(ownPath, OWNER_ONLY)
    renameSync(ownPath, path)
  } catch (err) {
    server.close()
    throw new Error(`can't use ${path}: ${errnoReason(err)}`, { cause: err })
  }
  // Out of descriptors: the client has to try again.
  server.on('error', () => undefined)
  return server
}

function handleRequests(connection: Socket, handlers: RequestHandlers): void {
  const reply = (value: object): void => {
    if (value instanceof Readable) streamLines(connection, value)
    else connection.write(`${JSON.stringify(value)}\n`)
  }
  let text = ''
  connection.setTimeout(CLIENT_TIMEOUT_MS, () => connection.destroy())
  connection.on('error', () => connection.destroy())
  connection.on('data', (data) => {
    text += data.toString('latin1')
    const end = text.indexOf('\n')
    if (end < 0) {
      if (text.length > MAX_REQUEST) connection.destroy()
      return
    }
    const [request = '', ...words] = text.slice(0, end).trim().split(' ')
    const argument = words.join(' ')
    text = ''
    const handler = Object.hasOwn(handlers, request) ? handlers[request] : undefined
    if (!handler) return reply({ error: `expected ${Object.keys(handlers).join(', ')}` })
    Promise.resolve()
      .then(() => handler(connection, argument))
      .then(reply, (err: unknown) => reply({ error: errnoReason(err) }))
  })
}

/** Sends lines until they end, or the client leaves. There may be none for a long time. */
function streamLines(connection: Socket, lines: Readable): void {
  connection.setTimeout(0)
  connection.once('close', () => lines.destroy())
  // The stream closes early if the client does not read.
  lines.once('close', () => lines.readableEnded || connection.destroy())
  if (connection.destroyed) lines.destroy()
  else lines.pipe(connection)
}

/** A reply, and the connection that it came on. */
export interface Reply {
  readonly value: unknown
  readonly connection: Socket
}

/**
 * Sends a request to a process that serves requests on `path`.
 * @param timeoutMs how long the reply may take, milliseconds
 * Rejects if nobody replies.
 */
export async function sendRequest(
  path: string,
  request: string,
  timeoutMs = REPLY_TIMEOUT_MS,
): Promise<Reply> {
  const connection = new Socket()
  // Errors before the reply reject the promises below. Errors after it do not matter.
  connection.on('error', () => undefined)
  connection.setTimeout(timeoutMs, () => connection.destroy(new Error('it does not reply')))
  try {
    await withShortPath(path, (short) => once(connection.connect(short), 'connect'))
    connection.write(`${request}\n`)
    const value: unknown = JSON.parse(await firstLine(connection))
    connection.setTimeout(0)
    return { value, connection }
  } catch (err) {
    connection.destroy()
    throw err
  }
}

/**
 * Sends a request whose reply is a stream of lines. Yields each of them, until the process ends the stream, or `signal` does.
 * Rejects if nobody listens on `path`.
 */
export async function* requestLines(
  path: string,
  request: string,
  signal: AbortSignal,
): AsyncGenerator<string> {
  const connection = new Socket()
  const end = (): void => void connection.destroy()
  signal.addEventListener('abort', end)
  // The process has ended, or has never listened.
  connection.on('error', end)
  try {
    await withShortPath(path, (short) => once(connection.connect(short), 'connect', { signal }))
    connection.write(`${request}\n`)
    yield* createInterface({ input: connection })
  } finally {
    signal.removeEventListener('abort', end)
    end()
  }
}

/** Leaves the connection open. Rejects if it ends before a line has come. */
async function firstLine(connection: Socket): Promise<string> {
  let text = ''
  for await (const chunk of connection.iterator({ destroyOnReturn: false })) {
    text += String(chunk)
    const end = text.indexOf('\n')
    if (end >= 0) return text.slice(0, end)
  }
  throw new Error('it closed the connection')
}

/** Shortens a path that is too long for a unix socket: the folder is named by a descriptor while the path is in use. */
async function withShortPath<T>(path: string, use: (path: string) => Promise<T>): Promise<T> {
  if (Buffer.byteLength(path) <= MAX_SOCKET_PATH) return use(path)
  const folder = openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY)
  try {
    return await use(join(descriptorPath('self', folder), basename(path)))
  } finally {
    closeSync(folder)
  }
}
