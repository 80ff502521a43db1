import { join } from 'node:path'

/**
 * Where docker-proxies find a docker-proxyd: the folder that is set, or root's, or for others the one of the XDG base
 * directory specification; undefined where there is none.
 */
export function defaultRunFolder(): string | undefined {
  const set = process.env['DOCKER_PROXY_RUN_DIR']
  if (set) return set
  if (process.getuid?.() === 0) return '/run/docker-proxy'
  const runtime = process.env['XDG_RUNTIME_DIR']
  return runtime ? join(runtime, 'docker-proxy') : undefined
}
