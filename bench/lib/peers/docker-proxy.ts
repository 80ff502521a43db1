import { startChild } from '../child.js'
import { missingProgram, versionOf, type Forward, type Peer } from '../peer.js'
import { builtProgram } from '../places.js'

const ORIGINAL = process.env['ORIGINAL'] ?? '/usr/sbin/docker-proxy'
const OURS = builtProgram('docker-proxy')

/** Flags as dockerd gives them. */
function flagsOf({ protocol, port, backendPort }: Forward): string[] {
  return [
    ...['-proto', protocol, '-host-ip', '127.0.0.1', '-host-port', String(port)],
    ...['-container-ip', '127.0.0.1', '-container-port', String(backendPort)],
  ]
}

/** Docker's own. */
export const original: Peer = {
  name: 'docker-proxy',
  how: 'the original',
  protocols: ['tcp', 'udp'],
  hasStatusPipe: true,
  version: () => versionOf('dpkg-query', '-W', '-f', '${Version}', 'docker.io'),
  missing: () => missingProgram(ORIGINAL, 'docker.io'),
  start: (forward, site) => startChild(site.proxy(ORIGINAL, ...flagsOf(forward))),
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
    start: (forward, site) =>
      startChild(site.proxy(OURS, ...flagsOf(forward)), { DOCKER_PROXY_ENGINE: engine }),
  }
}

export const native = ours('native')
export const streams = ours('streams')
