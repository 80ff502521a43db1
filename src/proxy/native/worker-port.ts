import type { ProxyVersion } from '../proxy-header.js'
import type { Protocol } from '../../ports/host-port.js'
import type { Backend } from '../backend.js'
import type { RelayLimits } from '../relay-limits.js'
import type { RelayEvents } from '../transport.js'

/** A port with one backend, whose relays a worker may have. */
export interface WorkerPort {
  /** Identifies the port and the backend in this process. */
  readonly number: number
  readonly protocol: Protocol
  /** The version of the header that backends get. */
  readonly sendProxy: ProxyVersion | undefined
  readonly limits: RelayLimits
  readonly backend: Backend
  readonly events: RelayEvents<number>
}
