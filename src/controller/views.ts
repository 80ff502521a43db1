import type { Protocol } from '../ports/host-port.js'
import type { SupervisorState } from '../supervisor/supervisor.js'
import type { Isolation } from './isolation.js'

/*
 * Publications and ports as clients see them.
 */

/** A port of a publication. */
export interface PortView {
  protocol: Protocol
  hostIp: string
  hostPort: number
  containerPort: number
  state: SupervisorState
  /** The process that serves the port, while it is up. */
  pid?: number
  restarts: number
  /** Why the last process ended. */
  reason?: string
  /** Open connections. */
  connections: number
  /** Bytes from clients; left out if the proxy does not report them. */
  bytesIn?: number
  /** Bytes to clients; left out if the proxy does not report them. */
  bytesOut?: number
  /** Connections so far; this and all below are left out if the proxy does not report them. */
  accepted?: number
  /** Dials of the container that failed. */
  failedDials?: number
  /** Failed dials of the last five minutes. */
  recentFailedDials?: number
  /** The last failed dial: why, and when (ISO 8601). */
  lastFailedDial?: { readonly reason: string; readonly time: string }
  /** Whether clients wait, and are not refused, while the process is restarted. */
  holdsSocket: boolean
}

export interface PublicationView {
  name: string
  /** The container's address. */
  backend: string
  /** ISO 8601. */
  created: string
  isolation: Isolation
  ports: PortView[]
}

/** A port that dockerd has published through a docker-proxy. */
export interface DockerPortView {
  /** dockerd's docker-proxy of the port. */
  pid: number
  protocol: Protocol
  hostIp: string
  hostPort: number
  /** The container's name, if dockerd could be asked. */
  container?: string
  containerIp: string
  containerPort: number
  /** ISO 8601. */
  since: string
  /** Open connections. */
  connections: number
  /** Connections so far; this and all below are left out unless a docker-proxyd serves the port. */
  accepted?: number
  failedDials?: number
  /** Failed dials of the last five minutes. */
  recentFailedDials?: number
  /** The last failed dial: why, and when (ISO 8601). */
  lastFailedDial?: { readonly reason: string; readonly time: string }
  /** Bytes from clients. */
  bytesIn?: number
  /** Bytes to clients. */
  bytesOut?: number
  /** UDP: datagrams that were dropped because too much waited to be sent. */
  dropped?: number
}
