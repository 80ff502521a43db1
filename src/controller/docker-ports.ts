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
 * Lists the ports that dockerd has published: through a docker-proxyd, or with a process each. Containers have their names if dockerd can
 * be asked.
 * @param runDir of docker-proxyd
 * @param containers undefined if no engine is followed
 * Rejects with Refusal if a docker-proxyd was started and does not answer, or ports wait for one.
 */
export async function listDockerPorts(
  runDir: string | undefined,
  containers: Pick<Containers, 'runningOn'> | undefined,
): Promise<DockerPortView[]> {
  const served = runDir === undefined ? [] : await portsIn(runDir)
  const others = await listDockerProxies(new Set(served.map(({ pid }) => pid)))
  return [...served, ...others].map((port) => {
    const container = containers?.runningOn(port.containerIp)?.name
    return container === undefined ? port : { ...port, container }
  })
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
