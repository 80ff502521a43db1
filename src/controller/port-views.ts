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

/** Finds the connections of a port that belong to processes which an upgrade has replaced. */
export function oldConnectionCounter(
  retired: readonly PortStatus[],
): (port: PortView) => { connections: number; oldConnections?: number } {
  const counts = new Map<string, number>()
  for (const status of retired) {
    const key = keyOf(status)
    if (status.active > 0) counts.set(key, (counts.get(key) ?? 0) + status.active)
  }
  return (port) => {
    const old = counts.size > 0 ? counts.get(keyOf(port)) : undefined
    if (old === undefined) return { connections: port.connections }
    return { connections: port.connections + old, oldConnections: old }
  }
}

function keyOf({ protocol, hostIp, hostPort }: PortView | PortStatus): string {
  return `${protocol} ${hostIp} ${hostPort}`
}
