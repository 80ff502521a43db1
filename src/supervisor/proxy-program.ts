import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { errnoReason } from '../linux/errno.js'

const run = promisify(execFile)
/** How long a program may take to print its help, milliseconds. */
const HELP_TIMEOUT_MS = 10_000

/** The docker-proxy that serves the ports: ours, or Docker's own. */
export interface ProxyProgram {
  readonly path: string
  /** Whether it accepts a listening socket. Docker's own does from release 28 on. */
  readonly takesSocket: boolean
  /** Whether it belongs to this installation, which can also serve all ports of a publication in one process. */
  readonly isOurs: boolean
}

/**
 * Asks a docker-proxy for its capabilities.
 * Rejects with a sentence for the user if it can't be run.
 */
export async function inspectProxyProgram(path: string): Promise<ProxyProgram> {
  const help = await run(path, ['-help'], { timeout: HELP_TIMEOUT_MS }).catch((err: unknown) => {
    // Old releases exit with 2 after their help.
    if (err instanceof Error && 'stderr' in err && err.stderr) return err as { stderr: string }
    throw unusable(path, errnoReason(err))
  })
  const { stderr } = help
  if (!stderr.includes('-container-port')) {
    throw unusable(path, 'it does not answer -help as a docker-proxy does')
  }
  return { path, takesSocket: stderr.includes('-use-listen-fd'), isOurs: false }
}

function unusable(path: string, reason: string): Error {
  return new Error(
    `can't use ${JSON.stringify(path)} as docker-proxy: ${reason}; name another one with --proxy-path`,
  )
}
