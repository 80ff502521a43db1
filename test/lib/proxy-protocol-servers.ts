import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { request, type IncomingMessage } from 'node:http'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import type { Test } from 'tap'
import { freeRow } from './free-row.js'
import { until } from './until.js'

/*
 * Real web servers that read a PROXY header, and answer with the addresses in it: `CLIENT_IP CLIENT_PORT SERVER_PORT`.
 */

/** Debian's packages keep the module apart. */
const NGINX_STREAM = 'load_module /usr/lib/nginx/modules/ngx_stream_module.so;'

type Server = 'haproxy' | 'nginx'
export const SERVERS: readonly Server[] = ['haproxy', 'nginx']

export function startProxyProtocolServer(
  t: Test,
  name: Server,
): Promise<{ ip: string; port: number }> {
  return startServer(t, name, (folder, port) =>
    name === 'haproxy' ? haproxyConfig(port) : nginxConfig(folder, port),
  )
}

/** The versions of the header that a balancer can send. */
export const BALANCERS = [
  ['haproxy', 'v1'],
  ['haproxy', 'v2'],
  ['nginx', 'v1'],
] as const

/** Starts a real balancer that announces its clients to a port of this host. */
export function startBalancer(
  t: Test,
  [name, version]: (typeof BALANCERS)[number],
  backendPort: number,
): Promise<{ ip: string; port: number }> {
  return startServer(t, name, (folder, port) =>
    name === 'haproxy'
      ? haproxyBalancer(port, backendPort, version === 'v1' ? 'send-proxy' : 'send-proxy-v2')
      : nginxBalancer(folder, port, backendPort),
  )
}

async function startServer(
  t: Test,
  name: Server,
  configOf: (folder: string, port: number) => string,
): Promise<{ ip: string; port: number }> {
  const ip = '127.0.0.1'
  const folder = mkdtempSync(join(tmpdir(), 'proxy-protocol-'))
  const file = join(folder, 'server.conf')
  const port = freeRow(1)
  writeFileSync(file, configOf(folder, port))
  const args = name === 'haproxy' ? ['-db', '-f', file] : ['-p', folder, '-c', file]
  const child = spawn(`/usr/sbin/${name}`, args, { stdio: ['ignore', 'ignore', 'inherit'] })
  const exit = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGTERM')
    await exit
    rmSync(folder, { recursive: true, force: true })
  })
  await until(() => canConnect(port, ip))
  return { ip, port }
}

async function canConnect(port: number, host: string): Promise<boolean> {
  const socket = connect(port, host)
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false
  } finally {
    socket.destroy()
  }
}

function haproxyConfig(port: number): string {
  return `
defaults
  mode http
  timeout client 20s
frontend answers
  bind 127.0.0.1:${port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst_port]"
`
}

function haproxyBalancer(port: number, backendPort: number, option: string): string {
  return `
defaults
  mode tcp
  timeout client 20s
  timeout server 20s
  timeout connect 20s
listen balancer
  bind 127.0.0.1:${port}
  server container 127.0.0.1:${backendPort} ${option}
`
}

function nginxBalancer(folder: string, port: number, backendPort: number): string {
  return `
${NGINX_STREAM}
daemon off; master_process off; pid ${folder}/pid; error_log stderr emerg;
events { }
stream {
  server {
    listen 127.0.0.1:${port};
    proxy_pass 127.0.0.1:${backendPort};
    proxy_protocol on;
  }
}`
}

function nginxConfig(folder: string, port: number): string {
  return `
daemon off; master_process off; pid ${folder}/pid; error_log stderr emerg;
events { }
http {
  access_log off;
  server {
    listen 127.0.0.1:${port} proxy_protocol;
    default_type text/plain;
    location / { return 200 "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_port"; }
  }
}`
}

/** Asks such a server through a proxy. @returns the answer, and the port of the client */
export async function askProxyProtocolServer(
  port: number,
): Promise<{ answer: string; clientPort: number }> {
  const sent = request({ host: '127.0.0.1', port, agent: false }).end()
  const [reply] = (await once(sent, 'response')) as [IncomingMessage]
  const clientPort = reply.socket.localPort ?? 0
  return { answer: await text(reply), clientPort }
}
