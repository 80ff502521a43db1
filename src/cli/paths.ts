import { constants } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { ROOT_RUN_FOLDER } from '../controller/run-folder.js'
import { canAccess } from './can-access.js'

/** The default folders and host of a daemon. */
export interface DefaultPaths {
  readonly host: string
  readonly dataRoot: string
  readonly execRoot: string
}

const SOCKET = 'docker-publish.sock'
const ROOT: DefaultPaths = {
  host: `unix:///run/${SOCKET}`,
  dataRoot: '/var/lib/docker-publish',
  execRoot: ROOT_RUN_FOLDER,
}

/** For root the system's folders; for other users the folders of the XDG base directory specification. */
export function defaultPaths(): DefaultPaths {
  if (process.getuid?.() === 0) return ROOT
  const state = process.env['XDG_STATE_HOME'] || join(homedir(), '.local/state')
  const dataRoot = join(state, 'docker-publish')
  // By the specification, an empty variable counts as unset.
  const runtime = process.env['XDG_RUNTIME_DIR'] || undefined
  return {
    host: `unix://${join(runtime ?? dataRoot, SOCKET)}`,
    dataRoot,
    execRoot: runtime === undefined ? join(dataRoot, 'run') : join(runtime, 'docker-publish'),
  }
}

/** Where a client looks for a daemon: the user's own socket, or root's if the user may access it. */
export function defaultClientHost(): string {
  const own = defaultPaths().host
  const usable = [own, ROOT.host].find((host) =>
    canAccess(host.slice('unix://'.length), constants.W_OK),
  )
  return usable ?? own
}
