import { errnoCode, errnoReason } from '../linux/errno.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import type { Log } from '../log/log.js'
import type { PortStatus } from '../status/port-status.js'
import { exposeMetrics } from './exposition.js'
import { serveMetrics } from './metrics-server.js'

/** Time between two attempts to serve on an address that is in use, milliseconds. */
const RETRY_MS = 1_000
const MAX_RETRY_MS = 60_000

/**
 * Serves the metrics of the ports of this process, without a docker-publish. The address may belong to another docker-proxy with the same
 * environment: then this one serves its ports alone, and takes the address when it is free.
 * @returns a function that stops serving
 */
export function serveOwnMetrics(
  address: SocketAddress,
  ports: () => readonly PortStatus[],
  log: Log,
): () => void {
  const expose = () => exposeMetrics([], ports().map(portOfDocker))
  let timer: NodeJS.Timeout | undefined
  let isStopped = false
  let close = (): void => undefined
  const start = async (retryMs: number): Promise<void> => {
    try {
      const server = await serveMetrics(address, expose, log)
      server.unref()
      close = () => {
        server.close()
        server.closeAllConnections()
      }
      if (isStopped) close()
    } catch (err) {
      const { cause } = err as Error
      if (retryMs === RETRY_MS) log.warn(errnoReason(err))
      if (errnoCode(cause) !== 'EADDRINUSE') return
      timer = setTimeout(() => void start(Math.min(2 * retryMs, MAX_RETRY_MS)), retryMs).unref()
    }
  }
  void start(RETRY_MS)
  return () => {
    isStopped = true
    clearTimeout(timer)
    close()
  }
}

/** A port of dockerd, as docker-publish lists it. */
function portOfDocker({ active, ...status }: PortStatus) {
  return { ...status, connections: active }
}
