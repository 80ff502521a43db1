import { join } from 'node:path'

/**
 * Where docker-proxies find a docker-proxyd: DOCKER_PROXY_RUN_DIR, else root's folder, else for other users the folder of the XDG base
 * directory specification.
 * @returns undefined for a user without XDG_RUNTIME_DIR
 */
export function defaultRunFolder(): string | undefined {
  const chosen = process.env['DOCKER_PROXY_RUN_DIR']
  if (chosen) return chosen
  if (process.getuid?.() === 0) return '/run/docker-proxy'
  const runtime = process.env['XDG_RUNTIME_DIR']
  return runtime ? join(runtime, 'docker-proxy') : undefined
}
