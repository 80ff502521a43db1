import type { Proxy } from '../proxy/engine.js'
import type { Protocol, PublishedPort } from '../proxy/published-port.js'
import { ask } from './status-socket.js'

/** Who asks what is published does not wait longer for a process that hangs, milliseconds. */
const ANSWER_MS = 500

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

/**
 * What the process at a status socket serves.
 * @param path of the socket
 * Rejects where none answers, or it is not ours to ask.
 */
export async function askPorts(path: string): Promise<readonly PortStatus[]> {
  const { told, connection } = await ask(path, 'ports', ANSWER_MS)
  connection.destroy()
  return told as PortStatus[]
}
