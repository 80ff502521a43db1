import type { HostPort } from '../ports/host-port.js'
import type { PortOptionTexts } from '../proxy/port-options.js'
import type { ListedBackend } from '../status/backend-list.js'
import type { RetiredProcess } from '../supervisor/retired-processes.js'
import type { Following } from './following.js'

/** A port of a publication, as the state file keeps it. */
export interface SavedPort extends HostPort {
  /** Names the files of its process in the run folder. */
  readonly id: string
  readonly containerPort: number
}

/** A publication, as the state file keeps it. */
export interface SavedPublication {
  readonly name: string
  /** Empty while the followed container does not run. New connections are shared among several. */
  readonly backends: readonly ListedBackend[]
  /** Left out if the publication keeps its address. */
  readonly follows?: Following
  /** Left out for a publication by proxies alone. */
  readonly via?: 'nat'
  /** Options of each port, by name; left out if all have their defaults. */
  readonly options?: PortOptionTexts
  /** ISO 8601. */
  readonly created: string
  /** Names the files of the one process that serves all ports; left out if each port has a process of its own. */
  readonly shared?: string
  readonly ports: readonly SavedPort[]
  /** Processes that upgrades have replaced; left out if there are none. */
  readonly retired?: readonly RetiredProcess[]
}
