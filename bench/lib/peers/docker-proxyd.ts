import { mkdtempSync } from 'node:fs'
import { once } from 'node:events'
import type { ChildProcess } from 'node:child_process'
import { startChild, startDialog, stopChild } from '../child.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { builtProgram } from '../places.js'
import { scratchPath } from '../scratch.js'
import { MACHINE, type Site } from '../site.js'
import { flagsOf } from './docker-proxy.js'

const PROGRAM = builtProgram('docker-proxyd')
const LAUNCHER = builtProgram('docker-proxy')

let server: ChildProcess | undefined
let folder = ''

/** The machine, with a docker-proxyd on it. */
async function openSite(): Promise<Site> {
  folder = mkdtempSync(scratchPath('proxyd-'))
  const started = (server = startDialog(MACHINE.proxy(PROGRAM, '--run-dir', folder)))
  const ready = started.stdout ? once(started.stdout, 'data') : undefined
  const failed = once(started, 'close').then(() => {
    throw new Error('docker-proxyd does not start')
  })
  await Promise.race([ready, failed])
  failed.catch(() => undefined) // That is its end.
  return { ...MACHINE, close: () => stopChild(started) }
}

export const proxyd: Peer = {
  name: 'docker-proxyd',
  how: "this project's docker-proxyd, to which docker-proxy hands its port",
  isOurs: true,
  protocols: ['tcp', 'udp'],
  hasStatusPipe: true,
  version: () => versionOf(PROGRAM, '--version'),
  missing: () => missingProgram(LAUNCHER, 'this project: npm ci'),
  openSite,
  server: () => server?.pid,
  start: (forward, site) =>
    startChild(
      site.proxy(LAUNCHER, ...flagsOf(forward)),
      { DOCKER_PROXY_RUN_DIR: folder },
      'SIGKILL',
    ),
}
