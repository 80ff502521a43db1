import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An address of its own on the loopback network, as a container has one on Docker's bridge. */
const CONTAINER_IP = '127.17.0.2'
const HTTP_PORT = 80

/**
 * A small HTTP server that plays a container. It listens on port 80, or on any free port
 * where 80 is taken or not allowed.
 *
 * @param name the container's name, shown on its page
 */
export async function startWebServer(name: string): Promise<{ server: Server } & AddressInfo> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/plain; charset=utf-8')
    response.end(`Hello from ${name}: ${request.method ?? ''} ${request.url ?? ''}\n`)
  })
  await listen(server, HTTP_PORT).catch(() => listen(server, 0))
  return { server, ...(server.address() as AddressInfo) }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: CONTAINER_IP, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
