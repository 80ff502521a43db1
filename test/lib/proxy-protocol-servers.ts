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

type Server = 'haproxy' | 'nginx'
export const SERVERS: readonly Server[] = ['haproxy', 'nginx']

export async function startProxyProtocolServer(
  t: Test,
  name: Server,
): Promise<{ ip: string; port: number }> {
  const ip = '127.0.0.1'
  const folder = mkdtempSync(join(tmpdir(), 'proxy-protocol-'))
  const file = join(folder, 'server.conf')
  const port = freeRow(1)
  writeFileSync(file, name === 'haproxy' ? haproxyConfig(port) : nginxConfig(folder, port))
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
