import { existsSync } from 'node:fs'
import { startChild } from '../child.js'
import { PROXY_CORES } from '../cores.js'
import { missingProgram, versionOf, type Peer } from '../peer.js'
import { scratchPath, writeScratch } from '../scratch.js'

const PROGRAM = '/usr/sbin/nginx'
const STREAM_MODULE = '/usr/lib/nginx/modules/ngx_stream_module.so'

export const nginx: Peer = {
  name: 'nginx',
  how: `stream, worker_processes ${PROXY_CORES}`,
  protocols: ['tcp', 'udp'],
  hasWorkers: true,
  version: () => versionOf(PROGRAM, '-v'),
  missing: () =>
    missingProgram(PROGRAM, 'nginx-light') ?? missingProgram(STREAM_MODULE, 'libnginx-mod-stream'),
  start({ protocol, port, backendPort }, site) {
    const { hostIp, containerIp } = site
    const [listen, perSession] =
      protocol === 'udp'
        ? [`listen ${hostIp}:${port} udp reuseport;`, 'proxy_timeout 90s;']
        : [`listen ${hostIp}:${port} backlog=4096;`, 'tcp_nodelay on;']
    const config = `${existsSync(STREAM_MODULE) ? `load_module ${STREAM_MODULE};` : ''}
worker_processes ${PROXY_CORES};
worker_rlimit_nofile 65536;
daemon off;
pid ${scratchPath(`nginx-${port}.pid`)};
error_log /dev/null;
events { worker_connections 20000; }
stream { server { ${listen} ${perSession} proxy_pass ${containerIp}:${backendPort}; } }
`
    return startChild(site.proxy(PROGRAM, '-c', writeScratch(`nginx-${port}.conf`, config)))
  },
}
