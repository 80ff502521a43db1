import { appendFileSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { sendRequest } from '../../src/status/status-socket.js'
import type { PortStatus } from '../../src/status/port-status.js'
import { until } from './until.js'

/*
 * The suite of the drop-in runs once more with its ports handed over: then what belongs to a proxy is found in a docker-proxyd, by the
 * launcher's pid. That is one for all of them, or, for tests of what surrounds a process, one for each.
 */

/** The run folder of the one, with its log in it. */
const SHARED = process.env['TEST_PROXYD']
/** The folder with those of all, by launcher. */
const OWN = process.env['TEST_PROXYDS']
const ENGINE = process.env['TEST_PROXYD_ENGINE']

/** Whether docker-proxies hand their ports over. */
export const isShared = SHARED !== undefined || OWN !== undefined

/** Engines to test with: docker-proxyd's, or both. */
export const ENGINES: readonly string[] = ENGINE === undefined ? ['native', 'streams'] : [ENGINE]

/** The drop-in as it is built. */
const LAUNCHER = resolve('dist/docker-proxy')
/** What tests start for it. */
export const PROGRAM = OWN === undefined ? LAUNCHER : resolve('test/lib/with-own-proxyd.sh')

/** The environment that has a docker-proxy find its docker-proxyd. */
export const SHARED_ENVIRONMENT: NodeJS.ProcessEnv = {
  ...(SHARED === undefined ? {} : { DOCKER_PROXY_RUN_DIR: SHARED }),
  ...(OWN === undefined ? {} : { TEST_PROXYDS: OWN }),
}

function folderOf(launcher: number): string {
  return SHARED ?? join(OWN ?? '', String(launcher), 'run')
}

/** Waits until a launcher's port is published, and returns its number. */
export async function sharedPort(launcher: number): Promise<number> {
  let port: number | undefined
  await until(async () => {
    const { value, connection } = await sendRequest(join(folderOf(launcher), 'socket'), 'ports')
    connection.destroy()
    port = (value as PortStatus[]).find(({ pid }) => pid === launcher)?.hostPort
    return port !== undefined
  })
  return port ?? 0
}

/** The process that serves what a docker-proxy was started for. */
export function serverOf(pid: number): number {
  if (!isShared) return pid
  return Number(readFileSync(join(folderOf(pid), 'pid'), 'utf8').split(' ')[0])
}

let marks = 0

/**
 * What docker-proxyd has logged of a launcher that has ended.
 * @param stderr of a docker-proxyd of its own
 */
export async function sharedLog(launcher: number, stderr: Promise<string>): Promise<string> {
  const text = SHARED === undefined ? await stderr : await readSharedLog(SHARED)
  return text
    .split('\n')
    .filter((line) => line.includes(`"launcher":${launcher},`))
    .join('\n')
}

/** Lines are in order: with the answer to what we ask for by now, all before it are there. */
async function readSharedLog(folder: string): Promise<string> {
  const mark = `mark ${process.pid} ${marks++}`
  appendFileSync(join(folder, 'control'), `${mark}\n`)
  const read = (): string => readFileSync(join(folder, 'log'), 'utf8')
  await until(() => read().includes(`"line":"${mark}"`))
  return read()
}
