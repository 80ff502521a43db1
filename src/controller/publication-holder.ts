import { UNNAMED } from '../ports/check-ports.js'
import type { Holder } from '../ports/holder.js'
import { joinHostPort, type HostPort } from '../ports/host-port.js'

/** Describes a publication as the holder of a port. Its name may be set later. */
export function publicationHolder(
  publication: { readonly name: string; readonly backend: string; readonly created: string },
  { ip, port }: HostPort,
  containerPort: number,
): Holder {
  return {
    kind: 'publication',
    get name() {
      return publication.name || UNNAMED
    },
    address: joinHostPort(ip, port),
    get backend() {
      return joinHostPort(publication.backend, containerPort)
    },
    since: publication.created,
  }
}
