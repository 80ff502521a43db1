import { startChild } from '../child.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'

const PROGRAM = '/usr/bin/socat'

export const socat: Peer = {
  name: 'socat',
  how: 'a process for each connection',
  protocols: ['tcp'],
  // One process per connection.
  maxConnections: 200,
  version: () => versionOf(PROGRAM, '-V'),
  missing: () => missingProgram(PROGRAM, 'socat'),
  start: ({ port, backendPort }, site) =>
    startChild(
      site.proxy(
        PROGRAM,
        `TCP4-LISTEN:${port},bind=${site.hostIp},fork,reuseaddr,nodelay,backlog=4096`,
        `TCP4:${site.containerIp}:${backendPort},nodelay`,
      ),
    ),
}
