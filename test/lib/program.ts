import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { once } from 'node:events'
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'

/** The built drop-in. */
export const PROGRAM = resolve('dist/docker-proxy')
/** The program that the drop-in becomes if no docker-proxyd runs. */
const PROCESS = resolve('dist/docker-proxy-process')
/** Docker's own docker-proxy, if it is installed. */
export const ORIGINAL = '/usr/sbin/docker-proxy'

export const READY = '0\n'

/** A test that wants a docker-proxyd starts it, so that it ends with the test. */
const NOT_ON_DEMAND = { DOCKER_PROXY_ON_DEMAND: 'no' }

export interface RunOptions {
  program?: string
  /** Environment in addition to PATH. */
  env?: NodeJS.ProcessEnv
  /** Descriptor 3: a pipe that is read (the default), nothing, or a given descriptor. */
  status?: 'pipe' | 'ignore' | number
  stdout?: number
  stderr?: number
  /** Descriptor 4. */
  listenFd?: number
  /** The id of the user to run as. */
  uid?: number
}

export interface Running {
  readonly child: ChildProcess
  readonly pid: number
  /** Everything that came over the status pipe until it was closed. */
  readonly status: Promise<string>
  readonly stdout: Promise<string>
  readonly stderr: Promise<string>
  readonly exit: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
}

/**
 * A command in an environment of PATH and `env` alone. env(1) starts it, because tap adds its loader to the environment of
 * every process that a test starts, and the program must run as its users run it.
 */
export function inCleanEnvironment(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv = {},
): [string, string[]] {
  const variables = Object.entries({ PATH: process.env['PATH'], ...env })
  return [
    'env',
    ['-i', ...variables.map(([name, value = '']) => `${name}=${value}`), program, ...args],
  ]
}

/** Starts a program. It is killed when the test ends, if it still runs. */
export function run(t: Test, args: readonly string[], options: RunOptions = {}): Running {
  const { program = PROGRAM, env = {}, status = 'pipe', stdout, stderr, listenFd, uid } = options
  const stdio: StdioOptions = ['ignore', stdout ?? 'pipe', stderr ?? 'pipe', status]
  if (listenFd !== undefined) stdio.push(listenFd)
  const child = spawn(...inCleanEnvironment(program, args, { ...NOT_ON_DEMAND, ...env }), {
    stdio,
    ...(uid === undefined ? {} : { uid }),
  })
  const exit = once(child, 'exit').then(([code, signal]) => ({
    code: code as number | null,
    signal: signal as NodeJS.Signals | null,
  }))
  t.teardown(async () => {
    child.kill('SIGKILL')
    await exit
  })
  const read = (stream: unknown): Promise<string> =>
    stream instanceof Readable ? text(stream) : Promise.resolve('')
  return {
    child,
    pid: child.pid ?? -1,
    status: read(child.stdio[3]),
    stdout: read(child.stdout),
    stderr: read(child.stderr),
    exit,
  }
}

/** Flags of a proxy on a free loopback port with this backend. */
export function proxyFlags(
  backend: { ip: string; port: number },
  host: { ip?: string; port?: number } = {},
): string[] {
  const { ip = '127.0.0.1', port = 0 } = host
  return Object.entries({
    proto: 'tcp',
    'host-ip': ip,
    'host-port': port,
    'container-ip': backend.ip,
    'container-port': backend.port,
  }).flatMap(([flag, value]) => [`-${flag}`, String(value)])
}

/** Copies the program without the other files and the node_modules beside it. */
export function copyAlone(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'docker-proxy-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const program = join(folder, 'docker-proxy')
  copyFileSync(PROCESS, program)
  copyFileSync(`${PROCESS}.js`, `${program}.js`)
  return program
}

/** Sends SIGINT, as dockerd does, and waits for the end. */
export async function stop(
  running: Running,
): Promise<{ code: number | null; signal: string | null }> {
  running.child.kill('SIGINT')
  return running.exit
}

/** Returns why a test is skipped that needs root; fails in CI instead. */
export function notRoot(purpose: string): string | false {
  if (process.getuid?.() === 0) return false
  if (process.env['CI']) throw new Error(`this takes root ${purpose}`)
  return `takes root ${purpose}`
}

/** Returns why a test is skipped that needs a missing program; fails in CI instead. */
export function missing(path: string, packageName: string): string | false {
  if (existsSync(path)) return false
  if (process.env['CI']) throw new Error(`${path} is missing: install ${packageName}`)
  return `${path} is not here: install ${packageName}`
}
