import type { Protocol } from '../ports/host-port.js'
import type { DialFailureReport } from '../proxy/dial-failures.js'
import type { DurationReport } from '../proxy/durations.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import type { SupervisorState } from '../supervisor/supervisor.js'
import type { TargetState } from '../docker/target-backends.js'
import type { WhenStopped } from './following.js'
import type { Isolation } from './isolation.js'
import type { Via } from './via.js'

/*
 * Publications and ports as clients see them.
 */

export { DURATION_BOUNDS_MS } from '../proxy/durations.js'

/** The figures that our own proxies report. They are left out for other proxies. */
interface ProxyReport extends Partial<DialFailureReport>, DurationReport {
  /** Bytes from clients. */
  bytesIn?: number
  /** Bytes to clients. */
  bytesOut?: number
  /** Connections so far. */
  accepted?: number
  /** Dials of the container that failed. */
  failedDials?: number
  /** Clients that were disconnected because their address is not allowed. */
  deniedClients?: number
  /** Clients that were disconnected because the port had as many connections as it may have. */
  excessClients?: number
  /** Pauses of reading from clients, because the container took no more data. */
  pausedIn?: number
  /** Pauses of reading from the container, because clients took no more data. */
  pausedOut?: number
}

/** A port of a publication. */
export interface PortView extends ProxyReport {
  protocol: Protocol
  hostIp: string
  hostPort: number
  containerPort: number
  /** `waiting`: the port is published as soon as its holder frees it. */
  state: SupervisorState | 'waiting'
  /** The process that serves the port, while it is up. */
  pid?: number
  restarts: number
  /** Why the last process ended. */
  reason?: string
  /** How clients on other hosts reach the container at present. */
  via: Via
  /** Open connections. */
  connections: number
  /** How many of them belong to processes that an upgrade has replaced; left out if none does. */
  oldConnections?: number
  /** Whether clients wait, and are not refused, while the process is restarted. */
  holdsSocket: boolean
}

export interface PublicationView {
  name: string
  /** The container's address. Several are separated by commas, and it is empty while no container runs. */
  backend: string
  /** The name of the container or service that the publication follows; left out if it keeps its address. */
  container?: string
  /** The compose project of the container. */
  project?: string
  /** `unknown`: the Docker Engine was not asked yet. */
  containerState?: TargetState['state'] | 'unknown'
  /** Why no client gets through. */
  why?: string
  /** Why the labels of the container publish nothing. */
  labelError?: string
  /** The network in which the container is reached, if it was named. */
  network?: string
  whenStopped?: WhenStopped
  /** Whether the publication outlives its container. */
  keep?: boolean
  /** ISO 8601. */
  created: string
  isolation: Isolation
  /** The requested way. */
  via: Via
  /** Options of each port, by name; left out if all have their defaults. */
  options?: PortOptionTexts
  ports: PortView[]
}

/** A port that dockerd has published. */
export interface DockerPortView extends ProxyReport {
  /** dockerd's docker-proxy of the port; left out for a port without one. */
  pid?: number
  protocol: Protocol
  hostIp: string
  hostPort: number
  /** The container's name, if dockerd could be asked. */
  container?: string
  /** The compose project of the container. */
  project?: string
  /** The swarm service of the port. */
  service?: string
  /** Empty for a service. */
  containerIp: string
  containerPort: number
  /** ISO 8601. */
  since: string
  /** Open connections. */
  connections: number
  /** UDP: datagrams that were dropped because too much waited to be sent. */
  dropped?: number
}
