import { once } from 'node:events'
import { appendFileSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Readable } from 'node:stream'
import type { Test } from 'tap'
import type { PortStatus } from '../../src/status/port-status.js'
import { sendRequest } from '../../src/status/status-socket.js'
import { listeningPort } from './proc.js'
import { PROGRAM, proxyFlags, READY, run, type Running, type RunOptions } from './program.js'
import type { RunningProxyd } from './proxyd.js'
import { until } from './until.js'

type EngineName = 'native' | 'streams'

/** How a suite of the drop-in runs docker-proxy: in a process of its own, or with the port handed over to a docker-proxyd. */
export interface Target {
  /** The path of the docker-proxy that the suite starts. */
  readonly program: string
  /** The engines that the suite runs with. */
  readonly engines: readonly EngineName[]
  /** Whether a docker-proxyd serves the ports. */
  readonly isShared: boolean
  /** Starts the program, or another one in the same environment; it ends with the test. */
  run(t: Test, args: readonly string[], options?: RunOptions): Running
  /** Starts docker-proxy in front of a backend, and waits until it listens. */
  startProxy(
    t: Test,
    backend: { ip: string; port: number },
    options?: StartOptions,
  ): Promise<Running & { port: number }>
  /** The port of a proxy that is ready. */
  portOf(running: Running): Promise<number>
  /** Waits until a proxy without a status pipe listens, and returns its port. */
  untilListening(running: Running): Promise<number>
  /** The log lines of a proxy that has ended. */
  logOf(running: Running): Promise<string>
  /** The pid of the process that serves the port of this docker-proxy. */
  serverOf(pid: number): number
}

interface StartOptions extends RunOptions {
  readonly host?: { ip?: string; port?: number }
}

type Serving = Pick<
  Target,
  'engines' | 'isShared' | 'portOf' | 'untilListening' | 'logOf' | 'serverOf'
>

function makeTarget(program: string, env: NodeJS.ProcessEnv, serving: Serving): Target {
  const target: Target = {
    ...serving,
    program,
    run: (t, args, options = {}) =>
      run(t, args, { program, ...options, env: { ...env, ...options.env } }),
    async startProxy(t, backend, options = {}) {
      const running = target.run(t, proxyFlags(backend, options.host), options)
      const status = await running.status
      if (status !== READY) throw new Error(`docker-proxy is not ready: ${status}`)
      return { ...running, port: await target.portOf(running) }
    },
  }
  return target
}

const portOf = ({ pid }: Running): Promise<number> => Promise.resolve(listeningPort(pid))

/** docker-proxy in a process of its own. */
export const ownProcess = makeTarget(
  PROGRAM,
  {},
  {
    engines: ['native', 'streams'],
    isShared: false,
    portOf,
    async untilListening(running) {
      // The first log line shows that it listens.
      await once(running.child.stderr as Readable, 'data')
      return portOf(running)
    },
    logOf: ({ stderr }) => stderr,
    serverOf: (pid) => pid,
  },
)

/** docker-proxy with its port handed over to one docker-proxyd for all tests, with this engine. */
export function oneProxyd(proxyd: RunningProxyd, engine: EngineName): Target {
  const untilListening = (running: Running): Promise<number> =>
    publishedPort(proxyd.folder, running.pid)
  let marks = 0
  return makeTarget(
    PROGRAM,
    { DOCKER_PROXY_RUN_DIR: proxyd.folder },
    {
      engines: [engine],
      isShared: true,
      portOf: untilListening,
      untilListening,
      async logOf({ pid }) {
        // Lines are in order: after the line about an invalid request, all earlier ones have come.
        const mark = `mark ${marks++}`
        appendFileSync(join(proxyd.folder, 'control'), `${mark}\n`)
        await until(() => proxyd.lines.some(({ line }) => line === mark))
        return proxyd.lines
          .filter(({ launcher }) => launcher === pid)
          .map((line) => JSON.stringify(line))
          .join('\n')
      },
      serverOf: () => pidOf(proxyd.folder),
    },
  )
}

/**
 * Each docker-proxy gets its own docker-proxyd, which inherits its environment, limits and stderr, and ends with the docker-proxy.
 * @param folder for the run folders
 */
export function proxydEach(folder: string): Target {
  const runFolder = (pid: number): string => join(folder, String(pid), 'run')
  const untilListening = ({ pid }: Running): Promise<number> => publishedPort(runFolder(pid), pid)
  return makeTarget(
    resolve('test/lib/with-own-proxyd.sh'),
    { PROXYD_FOLDERS: folder },
    {
      engines: ['native', 'streams'],
      isShared: true,
      portOf: untilListening,
      untilListening,
      async logOf({ pid, stderr }) {
        const lines = (await stderr).split('\n')
        return lines.filter((line) => line.includes(`"launcher":${pid},`)).join('\n')
      },
      serverOf: (pid) => pidOf(runFolder(pid)),
    },
  )
}

/** Waits until a docker-proxyd has published the port of a launcher, and returns its number. */
export async function publishedPort(runFolder: string, launcher: number): Promise<number> {
  let port: number | undefined
  await until(async () => {
    // A docker-proxyd that launchers start comes later.
    port = await findPort(runFolder, launcher).catch(() => undefined)
    return port !== undefined
  })
  return port ?? 0
}

async function findPort(runFolder: string, launcher: number): Promise<number | undefined> {
  const { value, connection } = await sendRequest(join(runFolder, 'socket'), 'ports')
  connection.destroy()
  return (value as PortStatus[]).find(({ pid }) => pid === launcher)?.hostPort
}

/** The pid of the docker-proxyd with this run folder. */
function pidOf(runFolder: string): number {
  return Number(readFileSync(join(runFolder, 'pid'), 'utf8'))
}
