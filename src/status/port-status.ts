import type { Protocol } from '../ports/host-port.js'
import type { DialFailureReport } from '../proxy/dial-failures.js'
import type { DurationReport } from '../proxy/durations.js'
import type { Proxy } from '../proxy/engine.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { sendRequest } from './status-socket.js'

/** A process that hangs must not hold up a list of ports for longer, milliseconds. */
const REPLY_TIMEOUT_MS = 500

/** The report of a status socket about one port. */
export interface PortStatus extends DialFailureReport, DurationReport {
  /** The process that stands for the port in `ps`. */
  readonly pid: number
  readonly protocol: Protocol
  readonly hostIp: string
  readonly hostPort: number
  readonly containerIp: string
  readonly containerPort: number
  /** When the port was published, ISO 8601. */
  readonly since: string
  readonly accepted: number
  readonly active: number
  readonly failedDials: number
  /** Clients that were disconnected because their address is not allowed. */
  readonly deniedClients: number
  /** Clients that were disconnected because the port had as many connections as it may have. */
  readonly excessClients: number
  /** Bytes from clients. */
  readonly bytesIn: number
  /** Bytes to clients. */
  readonly bytesOut: number
  /** UDP: datagrams that were dropped because too much waited to be sent. */
  readonly dropped: number
  /** Pauses of reading from a client, because the container took no more data. */
  readonly pausedIn: number
  /** Pauses of reading from the container, because the client took no more data. */
  readonly pausedOut: number
}

/** The request of fetchPortStatuses. */
export const PORTS_REQUEST = 'ports'

/** @param since when the port was published, milliseconds since the epoch */
export function portStatus(
  pid: number,
  { protocol, container }: PublishedPort,
  { address, counters, dialFailures, durations }: Proxy,
  since: number,
): PortStatus {
  return {
    ...{ pid, protocol, hostIp: address.ip, hostPort: address.port },
    ...{ containerIp: container.ip, containerPort: container.port },
    since: new Date(since).toISOString(),
    ...counters,
    ...dialFailures,
    ...durations,
  }
}

/**
 * Fetches the ports of the process that serves a status socket.
 * @param path of the socket
 * Rejects if no process replies, or the socket belongs to another user.
 */
export async function fetchPortStatuses(path: string): Promise<readonly PortStatus[]> {
  const { value, connection } = await sendRequest(path, PORTS_REQUEST, REPLY_TIMEOUT_MS)
  connection.destroy()
  return value as PortStatus[]
}
