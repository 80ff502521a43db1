import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, watch } from 'node:fs'
import { join } from 'node:path'
import { startChild, stopChild } from './child.js'
import { builtProgram } from './places.js'
import { scratchPath } from './scratch.js'
import type { Site } from './site.js'

/** A docker-publish daemon of the benchmark. */
export interface PublishDaemon {
  readonly child: ChildProcess
  /** Its folder, which nobody else uses. */
  readonly folder: string
  /** The path of its unix socket. */
  readonly socket: string
  readonly close: () => Promise<void>
}

/**
 * Starts a daemon, and waits until it listens.
 * @param options further options, by the daemon's folder
 * @param env what its environment has beside PATH
 * Rejects if it ends before that.
 */
export async function startPublishDaemon(
  site: Site,
  options: (folder: string) => readonly string[] = () => [],
  env: NodeJS.ProcessEnv = {},
): Promise<PublishDaemon> {
  const folder = mkdtempSync(scratchPath('publish-'))
  const socket = join(folder, 'socket')
  const program = builtProgram('docker-publish')
  const roots = ['--data-root', join(folder, 'data'), '--exec-root', join(folder, 'exec')]
  const host = ['--host', `unix://${socket}`, '--log-level', 'silent']
  const child = startChild(
    site.proxy(program, 'daemon', ...host, ...roots, ...options(folder)),
    env,
    'SIGTERM', // It ends its proxies, which outlive one that is killed.
  )
  const close = async (): Promise<void> => {
    child.kill('SIGTERM')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
    await stopChild(child)
  }
  try {
    await Promise.race([
      untilThere(folder, socket),
      once(child, 'exit').then(() => {
        throw new Error('docker-publish daemon ended')
      }),
    ])
  } catch (err) {
    await close()
    throw err
  }
  return { child, folder, socket, close }
}

async function untilThere(folder: string, path: string): Promise<void> {
  const watcher = watch(folder)
  try {
    while (!existsSync(path)) await once(watcher, 'change')
  } finally {
    watcher.close()
  }
}
