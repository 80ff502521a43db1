import { allAddresses } from '../ports/allocator.js'
import { parsePortSpecs } from '../ports/port-spec.js'
import { heldBy } from './held-by.js'
import type { RefusedLabels, WaitingContainer } from './label-publisher.js'
import type { PublicationView } from './views.js'

/** A container that waits for its ports, as `ls` shows it. @param defaultIp the host IP of ports that name none; undefined for all addresses */
export async function viewWaiting(
  { request, container, since, reason, holder }: WaitingContainer,
  defaultIp?: string,
): Promise<PublicationView> {
  const requests = await parsePortSpecs(request.ports, defaultIp).catch(() => [])
  return {
    ...{ name: request.name ?? container.name, backend: '', container: container.name },
    ...{
      containerState: 'running',
      created: since,
      isolation: 'process',
      via: request.via ?? 'proxy',
    },
    ports: requests.flatMap(({ protocol, ip, hostPorts, containerPort }) =>
      (ip === undefined ? allAddresses() : [ip]).map((hostIp) => ({
        ...{ protocol, hostIp, hostPort: hostPorts?.first ?? 0, containerPort },
        ...{ state: 'waiting', restarts: 0, reason: heldBy(reason, holder) },
        ...{ connections: 0, holdsSocket: false, via: 'proxy' },
      })),
    ),
  }
}

/** A container whose labels are refused, as `ls` shows it. */
export function viewRefused({ name, container, since, reason }: RefusedLabels): PublicationView {
  return {
    ...{ name, backend: '', container: container.name, containerState: 'running' },
    ...{ created: since, isolation: 'process', via: 'proxy', ports: [], labelError: reason },
  }
}
