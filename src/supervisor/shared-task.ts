import type { PublishedPort } from '../proxy/published-port.js'

/** The name of the program that serves all ports of a publication in one process. */
export const SHARED_PROGRAM_NAME = 'docker-publish-shared'

/** What docker-publish-shared reads from stdin, as JSON. The listening sockets are inherited, in the order of the ports. */
export interface SharedTask {
  readonly ports: readonly PublishedPort[]
}
