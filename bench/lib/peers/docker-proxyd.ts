import type { ChildProcess } from 'node:child_process'
import { mkdtempSync } from 'node:fs'
import { howItEnded, startChild, startReady, stopChild } from '../child.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { builtProgram } from '../places.js'
import { scratchPath } from '../scratch.js'
import type { NetworkPath } from '../network-path.js'
import type { Site } from '../site.js'
import { flagsOf } from './docker-proxy.js'

const PROGRAM = builtProgram('docker-proxyd')
const LAUNCHER = builtProgram('docker-proxy')

/** The running docker-proxyd, and its run folder. */
let server: ChildProcess | undefined
let folder = ''

/** The site of the others, with a docker-proxyd. */
async function openSite(_: NetworkPath, shared: Site): Promise<Site> {
  folder = mkdtempSync(scratchPath('proxyd-'))
  const command = shared.proxy(PROGRAM, '--run-dir', folder)
  const started = (server = await startReady(command, 'docker-proxyd does not start'))
  return { ...shared, close: () => stopChild(started) }
}

/** Without a docker-proxyd a launcher refuses, instead of becoming the program that is measured elsewhere. */
const environment = (): NodeJS.ProcessEnv => ({
  DOCKER_PROXY_RUN_DIR: folder,
  DOCKER_PROXY_ISOLATION: 'shared',
})

export const proxyd: Peer = {
  name: 'docker-proxyd',
  how: "this project's docker-proxyd, to which docker-proxy hands its port",
  isOurs: true,
  protocols: ['tcp', 'udp'],
  hasStatusPipe: true,
  version: () => versionOf(PROGRAM, '--version'),
  missing: () => missingProgram(PROGRAM, 'this project: npm ci'),
  openSite,
  underDockerd: () => ({ path: LAUNCHER, env: environment() }),
  server: () => server?.pid,
  serverEnded: () => server && howItEnded(server),
  start: (forward, site) =>
    startChild(site.proxy(LAUNCHER, ...flagsOf(forward, site)), environment()),
}
