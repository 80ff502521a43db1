import type { Protocol } from '../../ports/host-port.js'
import type { Backend } from '../backend.js'
import type { RelayEvents } from '../connection-proxy.js'

/** A port with one backend, whose relays a worker may have. */
export interface WorkerPort {
  /** Identifies the port and the backend in this process. */
  readonly number: number
  readonly protocol: Protocol
  readonly backend: Backend
  readonly events: RelayEvents<number>
}
