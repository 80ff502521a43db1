import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { errnoReason } from '../linux/errno.js'
import type { Claim } from './claim.js'

const run = promisify(execFile)
const HELP_TIMEOUT_MS = 10_000

/** The docker-proxy that serves the ports: ours, or Docker's own. */
export interface ProxyProgram {
  readonly path: string
  /** Whether it takes a listening socket; Docker's does from release 28 on. */
  readonly takesSocket: boolean
  /** Whether it is the one that came with this program, which can also serve all ports of a publication at once. */
  readonly isOurs: boolean
}

/**
 * Asks a docker-proxy what it can.
 * Rejects with one sentence when it can't be run.
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
  return new Error(`can't use ${JSON.stringify(path)} as docker-proxy: ${reason}`)
}

/** The command line that dockerd would use. */
export function proxyArguments(
  { takesSocket }: Pick<ProxyProgram, 'takesSocket'>,
  { protocol, ip, port }: Claim,
  backend: { readonly ip: string; readonly port: number },
): string[] {
  const flags = {
    proto: protocol,
    'host-ip': ip,
    'host-port': port,
    'container-ip': backend.ip,
    'container-port': backend.port,
  }
  const args = Object.entries(flags).flatMap(([flag, value]) => [`-${flag}`, String(value)])
  return takesSocket ? [...args, '-use-listen-fd'] : args
}
