import { UNNAMED } from '../ports/check-ports.js'
import type { Holder } from '../ports/holder.js'
import { joinHostPort, type HostPort } from '../ports/host-port.js'

/** Describes a publication as the holder of a port. @param publication its name is empty as long as it has none */
export function publicationHolder(
  {
    name,
    backend,
    created,
  }: { readonly name: string; readonly backend: string; readonly created: string },
  { ip, port }: HostPort,
  containerPort: number,
): Holder {
  return {
    kind: 'publication',
    name: name || UNNAMED,
    address: joinHostPort(ip, port),
    backend: joinHostPort(backend, containerPort),
    since: created,
  }
}
