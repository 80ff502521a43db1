import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { limitConnections } from '../api/connection-limit.js'
import { errnoReason } from '../linux/errno.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Log } from '../log/log.js'
import { joinHostPort } from '../ports/host-port.js'
import type { Exposition } from './exposition.js'

/** The path that Prometheus requests by default. */
const PATH = '/metrics'
/** Clients at once: one or two Prometheus servers, and a person. */
const MAX_CONNECTIONS = 16
/** A client has this long to send a request, milliseconds. */
const REQUEST_TIMEOUT_MS = 10_000

/**
 * Serves the metrics over HTTP, to everybody who can reach the address.
 * @param expose called for each request
 * Rejects with a sentence for the user if the address can't be used.
 */
export async function serveMetrics(
  { ip, port }: SocketAddress,
  expose: () => Promise<Exposition>,
  log: Log,
): Promise<Server> {
  const server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
    answer(request, response, expose).catch((err: unknown) => {
      log.error(`Can't expose the metrics: ${errnoReason(err)}`)
      if (!response.headersSent) response.writeHead(500)
      response.end()
    })
  })
  limitConnections(server, MAX_CONNECTIONS)
  const address = joinHostPort(ip, port)
  try {
    await once(server.listen(port, ip), 'listening')
  } catch (err) {
    throw new Error(`can't serve the metrics on ${address}: ${errnoReason(err)}`, { cause: err })
  }
  // Out of descriptors: the client has to try again.
  server.on('error', () => undefined)
  const bound = server.address()
  const own = typeof bound === 'object' && bound ? joinHostPort(ip, bound.port) : address
  log.info(`Metrics on http://${own}${PATH}`)
  return server
}

async function answer(
  { method = '', url = '', socket }: IncomingMessage,
  response: ServerResponse,
  expose: () => Promise<Exposition>,
): Promise<void> {
  socket.on('error', () => undefined)
  if (url.split('?')[0] !== PATH) {
    response.writeHead(404).end(`the metrics are at ${PATH}\n`)
  } else if (method !== 'GET' && method !== 'HEAD') {
    response.writeHead(405, { allow: 'GET, HEAD' }).end(`expected GET, and not ${method}\n`)
  } else {
    const { contentType, text } = await expose()
    response.writeHead(200, { 'content-type': contentType }).end(method === 'HEAD' ? '' : text)
  }
}
