import { spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync } from 'node:fs'
import { BASES } from '../bases.js'
import { startChild } from '../child.js'
import { missingProgram, versionOf, type Forward, type Peer } from '../peer.js'
import { builtProgram } from '../places.js'
import { scratchPath } from '../scratch.js'
import type { Site } from '../site.js'

/** Where the packages of Debian, Docker and others install it. */
const PLACES = [
  '/usr/sbin/docker-proxy',
  '/usr/bin/docker-proxy',
  '/usr/libexec/docker/docker-proxy',
] as const
const INSTALLED = PLACES.find(existsSync) ?? PLACES[0]
const ORIGINAL = process.env['ORIGINAL'] || INSTALLED
const OURS = builtProgram('docker-proxy')

/** Flags as dockerd passes them. */
export function flagsOf({ protocol, port, backendPort }: Forward, site: Site): string[] {
  return [
    ...['-proto', protocol, '-host-ip', site.hostIp, '-host-port', String(port)],
    ...['-container-ip', site.containerIp, '-container-port', String(backendPort)],
  ]
}

/** The version of the program's Debian package. Without a package, the answer to `-version`, which releases before 28 refuse. */
function versionOfOriginal(path: string): string {
  const { status, stdout } = spawnSync('dpkg-query', ['-S', path], { encoding: 'utf8' })
  const packageName = status === 0 && stdout.split(':')[0]
  return packageName
    ? versionOf('dpkg-query', '-W', '-f', '${Version}', packageName)
    : versionOf(path, '-version')
}

/** Docker's own docker-proxy. */
function dockersOwn(name: string, how: string, path: string): Peer {
  return {
    name,
    how,
    protocols: ['tcp', 'udp'],
    // Its pipes use descriptors as well, and it ends when none is left.
    maxConnections: 3_000,
    hasStatusPipe: true,
    version: () => versionOfOriginal(path),
    missing: () => missingProgram(path, 'docker.io'),
    underDockerd: () => ({ path, env: {} }),
    start: (forward, site) => startChild(site.proxy(path, ...flagsOf(forward, site))),
  }
}

/** The docker-proxy that all ratios refer to. */
export const original = dockersOwn(BASES[0], 'the original', ORIGINAL)
/** The installed docker-proxy, measured beside the program in ORIGINAL. */
export const installedOriginal = dockersOwn(
  'docker-proxy-installed',
  `the original, ${INSTALLED}`,
  INSTALLED,
)

/** As with one line in daemon.json: the first port starts a docker-proxyd, which ends soon after the last one. */
function asInstalled(): { path: string; env: NodeJS.ProcessEnv } {
  const env = {
    DOCKER_PROXY_RUN_DIR: mkdtempSync(scratchPath('on-demand-')),
    DOCKER_PROXY_ON_DEMAND: 'yes',
    DOCKER_PROXY_IDLE_SECONDS: '1',
  }
  return { path: OURS, env }
}

function ours(engine: 'native' | 'streams'): Peer {
  return {
    name: engine,
    how: `this project's docker-proxy, DOCKER_PROXY_ENGINE=${engine}`,
    isOurs: true,
    protocols: ['tcp', 'udp'],
    hasStatusPipe: true,
    version: () => versionOf(OURS, '-version'),
    missing: () => undefined,
    ...(engine === 'native' ? { underDockerd: asInstalled } : {}),
    start: (forward, site) =>
      startChild(site.proxy(OURS, ...flagsOf(forward, site)), { DOCKER_PROXY_ENGINE: engine }),
  }
}

export const native = ours('native')
export const streams = ours('streams')
