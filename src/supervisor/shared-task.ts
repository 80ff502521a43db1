import type { PublishedPort } from '../proxy/published-port.js'
import type { BackendList } from '../status/backend-list.js'

/** The name of the program that serves all ports of a publication in one process. */
export const SHARED_PROGRAM_NAME = 'docker-publish-shared'

/** The task of docker-publish-shared, read from stdin as JSON. The listening sockets are inherited, in the order of the ports. */
export interface SharedTask {
  readonly ports: readonly PublishedPort[]
  /** What all ports forward to from the start, instead of the containers of `ports`. */
  readonly backends: BackendList
}
