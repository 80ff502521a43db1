import { startChild } from '../child.js'
import { PROXY_CORES } from '../cores.js'
import { MOST_CONNECTIONS } from '../most-connections.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { writeScratch } from '../scratch.js'

/** HAProxy's own default would use a fifth of the descriptors for pipes. Ours has as many. */
const MAX_PIPES = 64
const PROGRAM = process.env['HAPROXY'] || '/usr/sbin/haproxy'

export const haproxy: Peer = {
  name: 'haproxy',
  how: `mode tcp, nbthread ${PROXY_CORES}, option splice-auto, maxpipes ${MAX_PIPES}`,
  protocols: ['tcp'],
  version: () => versionOf(PROGRAM, '-v'),
  missing: () => missingProgram(PROGRAM, 'haproxy'),
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
    return startChild(site.proxy(PROGRAM, '-f', writeScratch(`haproxy-${port}.cfg`, config)))
  },
}
