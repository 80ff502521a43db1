import { join } from 'node:path'

/** root's folder, or for others the one of the XDG base directory specification; undefined where there is none. */
export function defaultRunFolder(): string | undefined {
  if (process.getuid?.() === 0) return '/run/docker-proxy'
  const runtime = process.env['XDG_RUNTIME_DIR']
  return runtime ? join(runtime, 'docker-proxy') : undefined
}
