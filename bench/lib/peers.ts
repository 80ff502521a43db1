import type { ChildProcess } from 'node:child_process'
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { startChild } from './child.js'

/** A proxy to be measured. */
export interface Peer {
  readonly name: string
  /** The Debian package that brings it. */
  readonly packageName: string
  readonly program: string
  readonly protocols: readonly ('tcp' | 'udp')[]
  start(protocol: 'tcp' | 'udp', port: number, backendPort: number): ChildProcess
}

const folder = mkdtempSync(join(tmpdir(), 'bench-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

function dockerProxy(
  name: string,
  packageName: string,
  program: string,
  env: NodeJS.ProcessEnv = {},
): Peer {
  return {
    name,
    packageName,
    program,
    protocols: ['tcp', 'udp'],
    start: (protocol, port, backendPort) =>
      startChild(
        program,
        [
          ...['-proto', protocol, '-host-ip', '127.0.0.1', '-host-port', String(port)],
          ...['-container-ip', '127.0.0.1', '-container-port', String(backendPort)],
        ],
        env,
      ),
  }
}

const haproxy: Peer = {
  name: 'haproxy',
  packageName: 'haproxy',
  program: '/usr/sbin/haproxy',
  protocols: ['tcp'],
  start(_, port, backendPort) {
    const config = join(folder, `haproxy-${port}.cfg`)
    writeFileSync(
      config,
      `global
  nbthread 2
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen bench
  bind 127.0.0.1:${port}
  server backend 127.0.0.1:${backendPort}
`,
    )
    return startChild(this.program, ['-f', config])
  },
}

/** In the order of the table; the first is what the others are compared with. */
export const PEERS: readonly Peer[] = [
  dockerProxy("docker's", 'docker.io', process.env['ORIGINAL'] ?? '/usr/sbin/docker-proxy'),
  haproxy,
  dockerProxy('streams', 'npm run build', resolve('dist/docker-proxy'), {
    DOCKER_PROXY_ENGINE: 'streams',
  }),
  dockerProxy('native', 'npm run build', resolve('dist/docker-proxy'), {
    DOCKER_PROXY_ENGINE: 'native',
  }),
].filter((peer) => {
  if (existsSync(peer.program)) return true
  console.error(`${peer.name} is left out: ${peer.program} is missing, install ${peer.packageName}`)
  return false
})

/** An HTTP server of one worker that answers with a line. */
export function startHttpBackend(port: number): ChildProcess {
  const config = join(folder, 'nginx.conf')
  writeFileSync(
    config,
    `master_process off;
daemon off;
pid ${folder}/nginx.pid;
error_log /dev/null;
events { worker_connections 10000; multi_accept on; }
http {
  access_log off;
  keepalive_requests 1000000000;
  server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 "hello world\\n"; } }
}
`,
  )
  return startChild('nginx', ['-c', config])
}
