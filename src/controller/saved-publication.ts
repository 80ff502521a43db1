import type { HostPort } from '../ports/host-port.js'

/** A port of a publication, as the state file keeps it. */
export interface SavedPort extends HostPort {
  /** Names the files of its process in the run folder. */
  readonly id: string
  readonly containerPort: number
}

/** A publication, as the state file keeps it. */
export interface SavedPublication {
  readonly name: string
  /** The container's address. */
  readonly backend: string
  /** ISO 8601. */
  readonly created: string
  /** Names the files of the one process that serves all ports; left out if each port has a process of its own. */
  readonly shared?: string
  readonly ports: readonly SavedPort[]
}
