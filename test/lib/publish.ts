import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import type { Test } from 'tap'
import { Client } from '../../src/api/client.js'
import { processIds, processVariables } from '../../src/linux/proc/process.js'
import { kill } from './proc.js'
import { run, type Running } from './program.js'
import { until } from './until.js'

/** The built controller. */
export const PUBLISH = resolve('dist/docker-publish')

/** Runs docker-publish to its end. */
export async function publish(
  t: Test,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const running = run(t, args, { program: PUBLISH, status: 'ignore', env })
  const [{ code }, stdout, stderr] = await Promise.all([
    running.exit,
    running.stdout,
    running.stderr,
  ])
  return { code, stdout, stderr }
}

/** A daemon with folders of its own. Its processes and files are removed when the test ends. */
export interface TestDaemon {
  readonly running: Running
  readonly client: Client
  readonly folder: string
  readonly host: string
  /** The status sockets of its proxies. */
  statusSockets(): string[]
  /** Runs docker-publish as a client of the daemon. */
  cli(...args: string[]): ReturnType<typeof publish>
  /** Starts another daemon on the same folders. */
  again(...args: string[]): Promise<TestDaemon>
  /** Sends a signal, and waits for the end. */
  end(signal: NodeJS.Signals): Promise<{ code: number | null; signal: string | null }>
}

/**
 * @param options `dataRoot` lies in the test's own folder, unless it is named; `descriptors` is the most that the
 *   daemon may have open; `env` is what it gets beside PATH
 */
export async function startDaemon(
  t: Test,
  options: {
    dataRoot?: string
    /** Whether the data root is also the exec root. */
    hasOneRoot?: boolean
    descriptors?: number
    env?: NodeJS.ProcessEnv
    nodeOptions?: readonly string[]
    /** A command that becomes the program. */
    through?: readonly string[]
  } = {},
  ...args: string[]
): Promise<TestDaemon> {
  const folder = mkdtempSync(join(tmpdir(), 'publish-test-'))
  t.teardown(async () => {
    leftovers(folder).forEach(kill)
    await until(() => leftovers(folder).length === 0)
    rmSync(folder, { recursive: true, force: true })
  })
  const { hasOneRoot = false, descriptors, env = {}, nodeOptions, through = [] } = options
  const { dataRoot = join(folder, hasOneRoot ? 'exec' : 'data') } = options
  const program =
    nodeOptions === undefined ? [PUBLISH] : [process.execPath, ...nodeOptions, PUBLISH]
  const command = descriptors === undefined ? program : limited(descriptors)
  return startDaemonIn(t, folder, [...through, ...command], env, ['--data-root', dataRoot, ...args])
}

async function startDaemonIn(
  t: Test,
  folder: string,
  command: readonly string[],
  env: NodeJS.ProcessEnv,
  more: readonly string[],
): Promise<TestDaemon> {
  const path = join(folder, 'socket')
  const host = `unix://${path}`
  const exec = join(folder, 'exec')
  const args = ['daemon', '-H', host, '--exec-root', exec, ...more]
  const [program = PUBLISH, ...before] = command
  const running = run(t, [...before, ...args], { program, env, status: 'ignore' })
  const client = new Client({ kind: 'unix', path }, { program: 'docker-publish' })
  let ended = false
  void running.exit.then(() => (ended = true))
  await until(async () => {
    if (ended) throw new Error(`the daemon ended: ${await running.stderr}`)
    return client.version().then(
      () => true,
      () => false,
    )
  })
  return {
    running,
    client,
    folder,
    host,
    statusSockets() {
      const names = readdirSync(exec).filter((name) => name.endsWith('.socket'))
      return names.map((name) => join(exec, name))
    },
    cli: (...cliArgs) => publish(t, cliArgs, { DOCKER_PUBLISH_HOST: host }),
    again: (...extra) => startDaemonIn(t, folder, command, env, [...more, ...extra]),
    end(signal) {
      running.child.kill(signal)
      return running.exit
    },
  }
}

/** docker-publish under a limit of descriptors, hard and soft. */
function limited(descriptors: number): string[] {
  return ['/bin/sh', '-c', `ulimit -n ${descriptors}; exec "$@"`, 'sh', PUBLISH]
}

/** Shims and proxies of a daemon with this folder, the shims first. */
export function leftovers(folder: string): number[] {
  return processIds().filter((pid) =>
    processVariables(pid, ['DOCKER_PUBLISH_PORT']).DOCKER_PUBLISH_PORT?.startsWith(
      `${folder}/exec/`,
    ),
  )
}
