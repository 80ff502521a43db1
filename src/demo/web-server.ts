import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/**
 * Starts an HTTP server that plays a container. It listens on the requested port, or on a free one if that is taken or not permitted.
 *
 * @param name the container's name, shown on its page
 * @param ip an address on the loopback network; a container has one on Docker's bridge
 */
export async function startWebServer(
  name: string,
  ip: string,
  port: number,
): Promise<{ server: Server } & AddressInfo> {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/plain; charset=utf-8')
    response.end(`Hello from ${name}: ${request.method ?? ''} ${request.url ?? ''}\n`)
  })
  await listen(server, ip, port).catch(() => listen(server, ip, 0))
  return { server, ...(server.address() as AddressInfo) }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host, port }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
