import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Test } from 'tap'
import { processCommand, processIds } from '../../src/linux/proc/process.js'
import { kill } from './proc.js'
import { proxyFlags, READY, run, type Running } from './program.js'
import { runFolder } from './proxyd.js'
import type { Backend } from './sockets.js'
import { publishedPort } from './target.js'
import { until } from './until.js'

/*
 * A docker-proxyd that launchers start when they find none.
 */

/** Runs launchers as dockerd does, with a run folder of their own. What they have started ends with the test. */
export function onDemandHost(t: Test, settings: NodeJS.ProcessEnv = {}) {
  const folder = runFolder(t)
  const env = { DOCKER_PROXY_RUN_DIR: folder, DOCKER_PROXY_ON_DEMAND: 'yes', ...settings }
  const servers = (): number[] => processIds().filter((pid) => isDemandedServer(pid, folder))
  t.teardown(async () => {
    await until(() => {
      servers().forEach(kill)
      return servers().length === 0
    })
  })
  const launch = (flags: readonly string[], listenFd?: number): Running =>
    run(t, flags, { env, ...(listenFd === undefined ? {} : { listenFd }) })
  return {
    env,
    folder,
    servers,
    launch,
    publish: async (backend: Backend): Promise<Running & { port: number }> => {
      const launcher = launch(proxyFlags(backend))
      t.equal(await launcher.status, READY)
      return { ...launcher, port: await publishedPort(folder, launcher.pid) }
    },
    /** Kills the docker-proxyd, and waits until there is another one. */
    killServer: async (): Promise<void> => {
      const [killed] = servers()
      kill(killed)
      await until(() => servers().some((pid) => pid !== killed))
    },
    log: (): string => readFileSync(join(folder, 'log'), 'utf8'),
  }
}

/** Whether a process is a docker-proxyd of this folder that launchers have started. */
export function isDemandedServer(pid: number, folder: string): boolean {
  const command = processCommand(pid) ?? []
  return command.includes('--on-demand') && command.includes(folder)
}
