import type { TargetState } from '../docker/target-backends.js'
import { identify } from '../linux/proc/process-identity.js'
import { processContainer } from '../linux/proc/process.js'
import type { ListedBackend } from '../status/backend-list.js'

/** The addresses of a target's running containers, with their processes. */
export function listBackends({ backends }: TargetState): ListedBackend[] {
  return backends.map(({ ip, container }): ListedBackend => {
    const { id, pid } = container
    // In another process namespace, the number belongs to some other process.
    const isHere = pid !== undefined && processContainer(pid) === id
    const process = isHere ? identify(pid) : undefined
    return process ? { ip, process } : { ip }
  })
}
