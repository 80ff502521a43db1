import { basename } from 'node:path'
import {
  inOurNetwork,
  processCommand,
  processIds,
  processParent,
  processStartDate,
} from '../linux/proc/process.js'
import { connectionCounter } from '../ports/connections.js'
import { isPort } from '../ports/host-port.js'
import { proxyFlags } from '../proxy/proxy-command.js'
import { publishedPortOf } from '../proxy/flags.js'
import { listenIp, type PublishedPort } from '../proxy/published-port.js'
import { SHIM_NAME } from '../supervisor/proxy-process.js'
import { Turns } from '../turns.js'
import type { DockerPortView } from './views.js'

/**
 * Lists the ports of docker-proxies, Docker's own or ours, that run in this network namespace. Those of publications are left out.
 * @param served docker-proxies whose ports are known already
 */
export async function listDockerProxies(served: ReadonlySet<number>): Promise<DockerPortView[]> {
  const turns = new Turns()
  const countConnections = connectionCounter()
  const ports: DockerPortView[] = []
  for (const pid of processIds()) {
    if (turns.isOver) await turns.next()
    const port = served.has(pid) ? undefined : portOf(pid)
    if (!port || !isHere(pid) || isOfPublication(pid)) continue
    const since = processStartDate(pid)
    if (since === undefined) continue // It has ended.
    ports.push({
      ...{ pid, protocol: port.protocol, hostIp: port.ip, hostPort: port.port },
      ...{ containerIp: port.container.ip, containerPort: port.container.port },
      ...{ since: new Date(since).toISOString(), connections: countConnections(port, pid) },
    })
  }
  return ports
}

/** The port of a docker-proxy by its flags; undefined for any other process, and for a port that the flags do not name. */
function portOf(pid: number): PublishedPort | undefined {
  const flags = proxyFlags(processCommand(pid) ?? [])
  const port = flags && publishedPortOf(flags)
  if (!port || !isPort(port.port) || port.port === 0) return undefined
  return { ...port, ip: listenIp(port) }
}

/** Another user's process can't be inspected, and is taken to be here. */
function isHere(pid: number): boolean {
  try {
    return inOurNetwork(pid)
  } catch {
    return true
  }
}

function isOfPublication(pid: number): boolean {
  const parent = processParent(pid)
  const command = parent === undefined ? [] : (processCommand(parent) ?? [])
  return command.some((word) => basename(word) === SHIM_NAME)
}
