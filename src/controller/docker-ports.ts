import { ask } from '../proxyd/status-socket.js'
import type { PortStatus } from '../proxyd/port-status.js'
import { statusSocketOf } from '../proxyd/run-folder.js'
import type { DockerPortView } from './api/types.js'

/** As with our own. */
const ANSWER_MS = 500

/**
 * The ports that dockerd has published through a docker-proxyd; none where none runs, or it is not ours to ask.
 * @param runDir of docker-proxyd
 */
export async function dockerPorts(runDir: string | undefined): Promise<DockerPortView[]> {
  if (runDir === undefined) return []
  try {
    const { told, connection } = await ask(statusSocketOf(runDir), 'ports', ANSWER_MS)
    connection.destroy()
    return (told as PortStatus[]).map(({ active: connections, ...port }) => ({
      ...port,
      connections,
    }))
  } catch {
    return []
  }
}
