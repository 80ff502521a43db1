import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { ask } from '../../src/proxyd/status-socket.js'
import type { PortStatus } from '../../src/proxyd/port-status.js'
import { until } from './until.js'

/*
 * The suite of the drop-in runs a second time with all ports handed over to one docker-proxyd: then what belongs to a proxy is
 * found there, by the launcher's pid.
 */

/** Of the run folder, with the log in it; undefined where each docker-proxy is by itself. */
const FOLDER = process.env['TEST_PROXYD']
const ENGINE = process.env['TEST_PROXYD_ENGINE']

/** Whether docker-proxies hand their ports over. */
export const isShared = FOLDER !== undefined

/** Engines to test with: docker-proxyd's, or both. */
export const ENGINES: readonly string[] = ENGINE === undefined ? ['native', 'streams'] : [ENGINE]

/** The environment that has a docker-proxy find it. */
export const SHARED_ENVIRONMENT: NodeJS.ProcessEnv =
  FOLDER === undefined ? {} : { DOCKER_PROXY_RUN_DIR: FOLDER }

/** Waits until a launcher's port is published, and returns its number. */
export async function sharedPort(launcher: number): Promise<number> {
  let port: number | undefined
  await until(async () => {
    const { told, connection } = await ask(join(FOLDER ?? '', 'socket'), 'ports')
    connection.destroy()
    port = (told as PortStatus[]).find(({ pid }) => pid === launcher)?.hostPort
    return port !== undefined
  })
  return port ?? 0
}

/** The process that serves what a docker-proxy was started for. */
export function serverOf(pid: number): number {
  if (FOLDER === undefined) return pid
  return Number(readFileSync(join(FOLDER, 'pid'), 'utf8').split(' ')[0])
}

/** What docker-proxyd has logged of a launcher that has ended. */
export async function sharedLog(launcher: number): Promise<string> {
  const read = (): string =>
    readFileSync(join(FOLDER ?? '', 'log'), 'utf8')
      .split('\n')
      .filter((line) => line.includes(`"launcher":${launcher},`))
      .join('\n')
  await until(() => /Proxy stopped|Stopping proxy/.test(read()))
  return read()
}
