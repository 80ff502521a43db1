import { askPorts } from '../proxyd/port-status.js'
import { statusSocketOf } from '../proxyd/run-folder.js'
import type { DockerPortView } from './api/types.js'

/**
 * The ports that dockerd has published through a docker-proxyd; none where none runs, or it is not ours to ask.
 * @param runDir of docker-proxyd
 */
export async function dockerPorts(runDir: string | undefined): Promise<DockerPortView[]> {
  const ports = runDir === undefined ? undefined : await askPorts(statusSocketOf(runDir))
  return (ports ?? []).map(({ active: connections, ...port }) => ({ ...port, connections }))
}
