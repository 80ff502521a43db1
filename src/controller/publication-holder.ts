import { formatTarget, projectOf } from '../docker/container-target.js'
import { UNNAMED } from '../ports/check-ports.js'
import type { Holder } from '../ports/holder.js'
import { joinHostPort, type HostPort } from '../ports/host-port.js'
import type { SavedPublication } from './saved-publication.js'

/** Describes a publication as the holder of a port. @param publication its name is empty as long as it has none */
export function publicationHolder(
  { name, backends, follows, created }: Omit<SavedPublication, 'ports'>,
  { ip, port }: HostPort,
  containerPort: number,
): Holder {
  const project = follows && projectOf(follows.target)
  return {
    kind: 'publication',
    name: name || UNNAMED,
    address: joinHostPort(ip, port),
    backend: backends.map((backend) => joinHostPort(backend.ip, containerPort)).join(', '),
    ...(follows ? { container: formatTarget(follows.target) } : {}),
    ...(project === undefined ? {} : { project }),
    since: created,
  }
}
