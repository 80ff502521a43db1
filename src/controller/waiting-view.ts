import type { Holder } from '../ports/holder.js'
import { parsePortSpecs } from '../ports/port-spec.js'
import type { WaitingContainer } from './label-publisher.js'
import type { PublicationView } from './views.js'

/** A container that waits for its ports, as `ls` shows it. @param defaultIp the host IP of ports that name none */
export async function viewWaiting(
  { request, container, since, reason, holder }: WaitingContainer,
  defaultIp = '0.0.0.0',
): Promise<PublicationView> {
  const owner = holder ? nameOf(holder) : undefined
  const requests = await parsePortSpecs(request.ports, defaultIp).catch(() => [])
  return {
    ...{ name: request.name ?? container.name, backend: '', container: container.name },
    ...{
      containerState: 'running',
      created: since,
      isolation: 'process',
      via: request.via ?? 'proxy',
    },
    ports: requests.map(({ protocol, ip = defaultIp, hostPorts, containerPort }) => ({
      ...{ protocol, hostIp: ip, hostPort: hostPorts?.first ?? 0, containerPort },
      ...{
        state: 'waiting',
        restarts: 0,
        reason: owner === undefined ? reason : `${reason} (held by ${owner})`,
      },
      ...{ connections: 0, holdsSocket: false, via: 'proxy' },
    })),
  }
}

function nameOf(holder: Holder): string | undefined {
  switch (holder.kind) {
    case 'publication':
    case 'container':
      return holder.name
    case 'process':
      return holder.publishes ?? `pid ${holder.pid}`
    default:
      return undefined
  }
}
