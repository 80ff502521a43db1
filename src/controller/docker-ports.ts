import { errnoCode, errnoReason } from '../linux/errno.js'
import { askPorts, type PortStatus } from '../proxyd/port-status.js'
import { statusSocketOf } from '../proxyd/run-folder.js'
import type { DockerPortView } from './api/types.js'
import { Refusal } from './conflict.js'

/** No docker-proxyd was started there, or it is not ours to ask. */
const NONE = ['ENOENT', 'ENOTDIR', 'EACCES']

/**
 * The ports that dockerd has published through a docker-proxyd; none where none runs, or it is not ours to ask.
 * @param runDir of docker-proxyd
 * Rejects with Refusal where one was started, and does not answer.
 */
export async function dockerPorts(runDir: string | undefined): Promise<DockerPortView[]> {
  const ports = runDir === undefined ? [] : await portsAt(statusSocketOf(runDir))
  return ports.map(({ active: connections, ...port }) => ({ ...port, connections }))
}

async function portsAt(path: string): Promise<readonly PortStatus[]> {
  try {
    return await askPorts(path)
  } catch (err) {
    if (NONE.includes(errnoCode(err) ?? '')) return []
    const message = `docker-proxyd does not answer on ${path}: ${errnoReason(err)}`
    throw new Refusal('no-answer', message)
  }
}
