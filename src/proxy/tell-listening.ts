import type { Log } from '../log/log.js'
import { hasBackend, MAX_PORT, routeOf, type PublishedPort } from './published-port.js'

/**
 * Logs that a port is published, and what nobody will get through with.
 * @param address where it listens in fact
 */
export function tellListening(
  log: Log,
  port: PublishedPort,
  address: { readonly ip: string; readonly port: number },
): void {
  log.info(`Proxy listening on ${routeOf(port, address)}`)
  if (hasBackend(port)) return
  log.warn(
    `-container-port ${port.containerPort} is not from 1 to ${MAX_PORT}: no client will get through`,
  )
}
