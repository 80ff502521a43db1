import type { Proxy } from '../proxy/engine.js'
import type { Protocol, PublishedPort } from '../proxy/published-port.js'

/** A port as those who ask are told of it. */
export interface PortStatus {
  /** The process that stands for the port in `ps`. */
  readonly pid: number
  readonly protocol: Protocol
  readonly hostIp: string
  readonly hostPort: number
  readonly containerIp: string
  readonly containerPort: number
  /** ISO 8601. */
  readonly since: string
  readonly accepted: number
  readonly active: number
  readonly failedDials: number
  readonly bytesIn: number
  readonly bytesOut: number
}

/** @param since when it was published, milliseconds since the epoch */
export function statusOf(
  pid: number,
  { protocol, containerIp, containerPort }: PublishedPort,
  { address, counters }: Proxy,
  since: number,
): PortStatus {
  return {
    pid,
    ...{ protocol, hostIp: address.ip, hostPort: address.port, containerIp, containerPort },
    since: new Date(since).toISOString(),
    ...counters,
  }
}
