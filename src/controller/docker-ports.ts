import { projectView, type Container } from '../docker/container.js'
import type { Containers } from '../docker/containers.js'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { Refusal } from '../ports/refusal.js'
import { statusSocketPath } from '../proxyd/run-folder.js'
import { waitingLaunchers } from '../proxyd/waiting-launchers.js'
import { fetchPortStatuses } from '../status/port-status.js'
import { listDockerProxies } from './docker-proxies.js'
import type { DockerPortView } from './views.js'

/** No docker-proxyd was started there, or it belongs to another user. */
const NO_PROXYD = ['ENOENT', 'ENOTDIR', 'EACCES']

/**
 * Lists the ports that dockerd has published: through a docker-proxyd, with a process each, or, as far as dockerd can be asked, without a
 * proxy. Containers have their names if dockerd can be asked.
 * @param runDir of docker-proxyd
 * @param containers undefined if no engine is followed
 * Rejects with Refusal if a docker-proxyd was started and does not answer, or ports wait for one.
 */
export async function listDockerPorts(
  runDir: string | undefined,
  containers: DockerContainers | undefined,
): Promise<DockerPortView[]> {
  const served = runDir === undefined ? [] : await portsIn(runDir)
  const proxies = await listDockerProxies(
    new Set(served.flatMap(({ pid }) => (pid === undefined ? [] : [pid]))),
  )
  const named = [...served, ...proxies].map((port) => ({
    ...port,
    ...nameOf(containers?.runningOn(port.containerIp)),
  }))
  return [...named, ...(await portsWithoutProxy(named, containers))]
}

/** The parts of Containers that a list of ports needs. */
type DockerContainers = Pick<Containers, 'all' | 'ingressPorts' | 'runningOn'>

function nameOf(container: Container | undefined): { container?: string; project?: string } {
  if (!container) return {}
  return { container: container.name, ...projectView(container) }
}

/** Ports that dockerd publishes by rules of the firewall alone, with "userland-proxy": false, and the ingress ports of a swarm. */
async function portsWithoutProxy(
  known: readonly DockerPortView[],
  containers: DockerContainers | undefined,
): Promise<DockerPortView[]> {
  if (!containers) return []
  const keys = new Set(known.map(keyOf))
  const published = containers.all
    .filter(({ isRunning }) => isRunning)
    .flatMap((container) =>
      container.published.map(({ protocol, ip, port, containerPort }) => ({
        ...{ protocol, hostIp: ip, hostPort: port, containerPort },
        ...{ ...nameOf(container), since: container.startedAt },
        containerIp: container.networks.find((network) => network.ip !== undefined)?.ip ?? '',
      })),
    )
  const ingress = (await containers.ingressPorts()).map(
    ({ service, protocol, port, containerPort, since }) => ({
      ...{ protocol, hostIp: '0.0.0.0', hostPort: port, containerPort, service, since },
      containerIp: '',
    }),
  )
  // The kernel forwards them, so no socket shows their connections.
  return [...published, ...ingress]
    .filter((port) => !keys.has(keyOf(port)))
    .map((port) => ({ ...port, connections: 0 }))
}

function keyOf({
  protocol,
  hostIp,
  hostPort,
}: Pick<DockerPortView, 'protocol' | 'hostIp' | 'hostPort'>): string {
  return `${hostIp} ${hostPort}/${protocol}`
}

async function portsIn(runDir: string): Promise<DockerPortView[]> {
  const path = statusSocketPath(runDir)
  try {
    const ports = await fetchPortStatuses(path)
    return ports.map(({ active: connections, ...port }) => ({ ...port, connections }))
  } catch (err) {
    const waiting = waitingLaunchers(runDir)
    if (waiting) {
      const { count, since } = waiting
      const ports = count === 1 ? '1 port of dockerd waits' : `${count} ports of dockerd wait`
      throw new Refusal(
        'no-answer',
        `no docker-proxyd serves ${runDir}, and ${ports} for one since ${since}: start docker-proxyd, and read its log if it has ended`,
      )
    }
    if (NO_PROXYD.includes(errnoCode(err) ?? '')) return []
    const message = `docker-proxyd does not answer on ${path}: ${errnoReason(err)}`
    throw new Refusal('no-answer', message)
  }
}
