import { spawn, type ChildProcess } from 'node:child_process'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'

const READY = '0\n'
const FAILED = '1\n'

/** A docker-proxy that has said it is ready. */
export interface ProxyProcess {
  readonly child: ChildProcess
  readonly commandLine: string
}

/**
 * Starts docker-proxy as dockerd does, with a status pipe as descriptor 3.
 * Rejects with the text of the status pipe when the port can't be published.
 */
export async function startProxy(program: string, flags: readonly string[]): Promise<ProxyProcess> {
  const child = spawn(program, flags, { stdio: ['ignore', 'inherit', 'ignore', 'pipe'] })
  const failedToStart = new Promise<never>((_, reject) => child.once('error', reject))
  const status = await Promise.race([text(child.stdio[3] as Readable), failedToStart])
  if (status !== READY) throw new Error(status.replace(FAILED, '') || 'docker-proxy ended at once')
  return { child, commandLine: [program, ...flags].join(' ') }
}
