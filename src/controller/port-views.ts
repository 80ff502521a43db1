import type { CountConnections } from '../ports/connections.js'
import { findHolder } from '../ports/holder.js'
import type { PortStatus } from '../status/port-status.js'
import type { PortServer } from '../supervisor/port-server.js'
import { heldBy } from './held-by.js'
import type { PortView } from './views.js'

/** The part of a proxy's report that clients see. */
function reported(status: PortStatus): Partial<PortView> {
  const { bytesIn, bytesOut, accepted, failedDials, recentFailedDials } = status
  const { deniedClients, excessClients, lastFailedDial, failedDialReasons } = status
  // Proxies of earlier versions report no pauses.
  const { pausedIn, pausedOut, durations } = status as Partial<PortStatus>
  return {
    ...{ bytesIn, bytesOut, accepted, failedDials, recentFailedDials },
    ...{ deniedClients, excessClients },
    ...(pausedIn === undefined ? {} : { pausedIn, pausedOut }),
    ...(durations && { durations }),
    ...(lastFailedDial === undefined ? {} : { lastFailedDial }),
    ...(failedDialReasons === undefined ? {} : { failedDialReasons }),
  }
}

/** The ports of one process, as the API shows them. */
export async function viewPorts(server: PortServer, count: CountConnections): Promise<PortView[]> {
  const { status, holdsSocket } = server.supervisor
  const statuses = await server.portStatuses()
  const { reason = '' } = status
  const holder = server.taken && (await findHolder(server.taken).catch(() => undefined))
  return server.ports.map((served, i): PortView => {
    const { protocol, ip: hostIp, port: hostPort, containerPort } = served
    const own = statuses?.[i]
    return {
      ...{ protocol, hostIp, hostPort, containerPort },
      ...status,
      ...(holder ? { reason: heldBy(reason, holder) } : {}),
      connections: own ? own.active : count(served, status.pid),
      ...(own ? reported(own) : {}),
      holdsSocket,
      via: 'proxy',
    }
  })
}

/** Adds the connections of processes that an upgrade has replaced. */
export function withRetired(port: PortView, retired: readonly PortStatus[]): PortView {
  const old = retired
    .filter(
      ({ protocol, hostIp, hostPort }) =>
        protocol === port.protocol && hostIp === port.hostIp && hostPort === port.hostPort,
    )
    .reduce((sum, { active }) => sum + active, 0)
  if (old === 0) return port
  return { ...port, connections: port.connections + old, oldConnections: old }
}
