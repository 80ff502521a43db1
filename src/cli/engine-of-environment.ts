import { EngineHostError, findEngineHost, type EngineHost } from '../docker/engine-host.js'
import { UsageError } from './usage-error.js'

/** The engine that DOCKER_HOST or a docker context names, or the default one. @throws UsageError for an invalid setting */
export function engineOfEnvironment(): EngineHost {
  try {
    return findEngineHost(process.env)
  } catch (err) {
    throw err instanceof EngineHostError ? new UsageError(err.message) : err
  }
}
