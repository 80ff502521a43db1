import type { ContainerTarget } from '../docker/container-target.js'

/** What happens to a port while its container is stopped. */
export const WHEN_STOPPED = ['refuse', 'hold', 'close-port'] as const
/**
 * `refuse`: each client is disconnected at once. `hold`: a client waits for the container's return. `close-port`: the port is closed, and
 * any other program may take it.
 */
export type WhenStopped = (typeof WHEN_STOPPED)[number]

/** Time that `hold` lets a client wait, milliseconds. */
export const HOLD_MS = 30_000

/** The container or service that a publication follows. */
export interface Following {
  readonly target: ContainerTarget
  /** Name of the network in which it is reached; undefined for any. */
  readonly network?: string
  readonly whenStopped: WhenStopped
  /** Whether the publication outlives its container, and takes up the next one of its name. */
  readonly keep: boolean
  /** The label that asked for the publication; undefined if a user did. */
  readonly labels?: string
}
