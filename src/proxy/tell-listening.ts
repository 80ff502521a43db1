import type { Log } from '../log/log.js'
import { routeOf, type PublishedPort } from './published-port.js'

const MAX_PORT = 65_535

/**
 * Logs that a port is published, and what nobody will get through with.
 * @param address where it listens in fact
 */
export function tellListening(
  log: Log,
  port: PublishedPort,
  address: { readonly ip: string; readonly port: number },
  fields: Record<string, unknown> = {},
): void {
  log.info(`Proxy listening on ${routeOf(port, address)}`, fields)
  const { containerPort } = port
  if (containerPort >= 1 && containerPort <= MAX_PORT) return
  log.warn(
    `-container-port ${containerPort} is not from 1 to ${MAX_PORT}: no client will get through`,
    fields,
  )
}
