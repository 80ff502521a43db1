import { constants } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { canAccess } from './can-access.js'

/** Where a daemon keeps what, and is reached, unless it is told otherwise. */
export interface DefaultPaths {
  readonly host: string
  readonly dataRoot: string
  readonly execRoot: string
}

const SOCKET = 'docker-publish.sock'
const ROOT: DefaultPaths = {
  host: `unix:///run/${SOCKET}`,
  dataRoot: '/var/lib/docker-publish',
  execRoot: '/run/docker-publish',
}

/** root's folders, or for others those of the XDG base directory specification. */
export function defaultPaths(): DefaultPaths {
  if (process.getuid?.() === 0) return ROOT
  const state = process.env['XDG_STATE_HOME'] || join(homedir(), '.local/state')
  const dataRoot = join(state, 'docker-publish')
  // Empty counts as unset, says the specification.
  const runtime = process.env['XDG_RUNTIME_DIR'] || undefined
  return {
    host: `unix://${join(runtime ?? dataRoot, SOCKET)}`,
    dataRoot,
    execRoot: runtime === undefined ? join(dataRoot, 'run') : join(runtime, 'docker-publish'),
  }
}

/** Where a client looks: our own daemon's socket, or root's where we may use that. */
export function defaultClientHost(): string {
  const own = defaultPaths().host
  const usable = [own, ROOT.host].find((host) =>
    canAccess(host.slice('unix://'.length), constants.W_OK),
  )
  return usable ?? own
}
