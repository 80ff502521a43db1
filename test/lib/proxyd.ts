import { once } from 'node:events'
import { mkdtempSync, readlinkSync, rmSync } from 'node:fs'
import { constants, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import { ignoresSignal } from '../../src/linux/proc/process.js'
import { proxyFlags, READY, run, type Running, type RunOptions } from './program.js'
import { until } from './until.js'

export const PROXYD = resolve('dist/docker-proxyd')

export interface RunningProxyd extends Running {
  readonly folder: string
  /** Its log lines so far. */
  readonly lines: Record<string, unknown>[]
  /** Starts a docker-proxy that hands its port over, and waits until it listens. */
  publish(
    backend: { ip: string; port: number },
    options?: RunOptions & { flags?: readonly string[] },
  ): Promise<Running & { port: number }>
  /** The port on which a launcher's proxy listens. */
  portOf(launcher: number): Promise<number>
}

export interface ProxydOptions {
  readonly folder?: string
  readonly args?: readonly string[]
  readonly env?: NodeJS.ProcessEnv
  /** Its limit of open descriptors. */
  readonly descriptors?: number
  /** A command that becomes the program, for example setpriv. */
  readonly through?: readonly string[]
}

/** A run folder that is removed when the test ends. */
export function runFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'proxyd-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** Waits until launchers are about to send a request to a docker-proxyd that they have found. */
export async function untilAsked(launchers: readonly Running[]): Promise<void> {
  // Before a launcher ignores SIGPIPE, a signal ends it.
  const isAsking = ({ pid }: Running): boolean => {
    try {
      const path = readlinkSync(`/proc/${pid}/fd/9`)
      return path.endsWith('/control') && ignoresSignal(pid, [constants.signals.SIGPIPE])
    } catch {
      return false // Not yet.
    }
  }
  await until(() => launchers.every(isAsking))
}

/** Starts a docker-proxyd, and waits until docker-proxies find it. */
export async function startProxyd(t: Test, options: ProxydOptions = {}): Promise<RunningProxyd> {
  const { folder = runFolder(t), args = [], env = {}, descriptors, through } = options
  const flags = ['--run-dir', folder, ...args]
  const limit =
    descriptors === undefined ? [] : ['sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh']
  const [program, ...before] = [...(through ?? limit), PROXYD]
  const running = run(t, [...before, ...flags], { program, env })
  const lines: Record<string, unknown>[] = []
  createInterface({ input: running.child.stderr as Readable }).on('line', (line) => {
    if (!line.startsWith('{')) throw new Error(`docker-proxyd says: ${line}`)
    lines.push(JSON.parse(line) as Record<string, unknown>)
  })
  await Promise.race([
    once(running.child.stdout as Readable, 'data'),
    running.exit.then(async () => {
      throw new Error(`docker-proxyd is not ready: ${await running.stderr}`)
    }),
  ])
  const portOf = async (launcher: number): Promise<number> => {
    const ofLauncher = (): string | undefined =>
      lines
        .filter((line) => line['launcher'] === launcher)
        .map(({ msg }) => /^Proxy listening on \w+\/.*:(\d+) for /.exec(String(msg))?.[1])
        .findLast((port) => port !== undefined)
    await until(() => ofLauncher() !== undefined)
    return Number(ofLauncher())
  }
  return {
    ...running,
    folder,
    lines,
    portOf,
    async publish(backend, { flags = proxyFlags(backend), env: own = {}, ...rest } = {}) {
      const launcher = run(t, flags, { env: { DOCKER_PROXY_RUN_DIR: folder, ...own }, ...rest })
      const status = await launcher.status
      if (status !== READY) throw new Error(`docker-proxy is not ready: ${status}`)
      return { ...launcher, port: await portOf(launcher.pid) }
    },
  }
}
