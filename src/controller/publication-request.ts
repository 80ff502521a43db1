import type { Isolation } from './isolation.js'

/** A request to publish ports of a container. */
export interface PublicationRequest {
  /** Left out, the publication is named after its first port. */
  readonly name?: string
  /** The container's IP address. */
  readonly backend: string
  /** As `docker run -p` accepts them. */
  readonly ports: string[]
  /** `auto`, the default, shares one process among many ports. */
  readonly isolation?: Isolation | 'auto'
}
