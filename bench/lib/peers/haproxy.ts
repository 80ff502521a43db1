import { startChild } from '../child.js'
import { PROXY_CORES } from '../cores.js'
import { MOST_CONNECTIONS } from '../most-connections.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { writeScratch } from '../scratch.js'

/** HAProxy's own default would use a fifth of the descriptors for pipes. Ours has as many. */
const MAX_PIPES = 64
const INSTALLED = '/usr/sbin/haproxy'
const PROGRAM = process.env['HAPROXY'] || INSTALLED

/** The program in HAPROXY, or the installed one. */
export const haproxy = haproxyOf('haproxy', PROGRAM)
/** The installed HAProxy, measured beside the program in HAPROXY. */
export const installedHaproxy = haproxyOf('haproxy-installed', INSTALLED)

function haproxyOf(name: string, program: string): Peer {
  return {
    name,
    how: `mode tcp, nbthread ${PROXY_CORES}, option splice-auto, maxpipes ${MAX_PIPES}`,
    protocols: ['tcp'],
    version: () => versionOf(program, '-v'),
    missing: () => missingProgram(program, 'haproxy'),
    start({ port, backendPort }, site) {
      const { hostIp, containerIp } = site
      const config = `global
  nbthread ${PROXY_CORES}
  maxconn ${MOST_CONNECTIONS}
  maxpipes ${MAX_PIPES}
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen bench
  bind ${hostIp}:${port} backlog 4096
  server backend ${containerIp}:${backendPort}
`
      return startChild(site.proxy(program, '-f', writeScratch(`haproxy-${port}.cfg`, config)))
    },
  }
}
