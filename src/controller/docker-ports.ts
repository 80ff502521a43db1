import { errnoCode, errnoReason } from '../linux/errno.js'
import { Refusal } from '../ports/refusal.js'
import { statusSocketPath } from '../proxyd/run-folder.js'
import { fetchPortStatuses, type PortStatus } from '../status/port-status.js'
import type { DockerPortView } from './views.js'

/** No docker-proxyd was started there, or it belongs to another user. */
const NO_PROXYD = ['ENOENT', 'ENOTDIR', 'EACCES']

/**
 * Lists the ports that dockerd has published through a docker-proxyd. If none runs, or it belongs to another user, the list is empty.
 * @param runDir of docker-proxyd
 * Rejects with Refusal if a docker-proxyd was started and does not answer.
 */
export async function listDockerPorts(runDir: string | undefined): Promise<DockerPortView[]> {
  const ports = runDir === undefined ? [] : await portsAt(statusSocketPath(runDir))
  return ports.map(({ active: connections, ...port }) => ({ ...port, connections }))
}

async function portsAt(path: string): Promise<readonly PortStatus[]> {
  try {
    return await fetchPortStatuses(path)
  } catch (err) {
    if (NO_PROXYD.includes(errnoCode(err) ?? '')) return []
    const message = `docker-proxyd does not answer on ${path}: ${errnoReason(err)}`
    throw new Refusal('no-answer', message)
  }
}
