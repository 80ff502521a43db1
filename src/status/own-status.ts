import type { Log } from '../log/log.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'
import type { Proxy } from '../proxy/engine.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { PORTS_REQUEST, portStatus } from './port-status.js'
import { serveStatus, STATUS_SOCKET_VARIABLE } from './status-socket.js'

/** A port that this process serves. */
export interface OwnPort {
  readonly port: PublishedPort
  readonly proxy: Proxy
}

/**
 * Reports the ports of this process on a status socket, if the parent has asked for one. A socket that can't be used is only logged: the
 * ports work without it.
 */
export async function serveOwnStatus(
  ports: readonly OwnPort[],
  descriptors: DescriptorBudget,
  log: Log,
): Promise<void> {
  const path = process.env[STATUS_SOCKET_VARIABLE]
  if (!path) return
  const since = Date.now()
  const handlers = {
    [PORTS_REQUEST]: () =>
      ports.map(({ port, proxy }) => portStatus(process.pid, port, proxy, since)),
  }
  try {
    const server = await serveStatus(path, descriptors, handlers)
    server.unref()
  } catch (err) {
    log.warn(`Can't report connections and bytes: ${String(err)}`)
  }
}
