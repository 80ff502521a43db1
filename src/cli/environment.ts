import { UsageError } from './usage-error.js'

/*
 * The settings of docker-publish in the environment.
 */

const PREFIX = 'DOCKER_PUBLISH_'
const VARIABLES = [
  'DOCKER_PUBLISH_HOST',
  'DOCKER_PUBLISH_CERT_PATH',
  'DOCKER_PUBLISH_TOKEN_FILE',
  'DOCKER_PUBLISH_PROXY_PATH',
  'DOCKER_PUBLISH_LOG_LEVEL',
  'DOCKER_PUBLISH_METRICS',
] as const

/** A setting of the environment. An empty variable counts as unset. */
export function environmentSetting(variable: (typeof VARIABLES)[number]): string | undefined {
  return process.env[variable] || undefined
}

/** A mistyped variable would have no effect, and nobody would notice. @throws UsageError */
export function refuseUnknownVariables(env: NodeJS.ProcessEnv = process.env): void {
  const known: readonly string[] = VARIABLES
  const unknown = Object.keys(env).find((name) => name.startsWith(PREFIX) && !known.includes(name))
  if (unknown === undefined) return
  throw new UsageError(
    `unknown setting ${unknown} in the environment: expected ${VARIABLES.join(', ')}`,
  )
}
