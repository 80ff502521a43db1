import { once } from 'node:events'
import { existsSync, lstatSync, unlinkSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type ListenOptions } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { isLoopback } from '../linux/sockets/ip-address.js'
import { formatHost, HostError, type Host } from './host.js'
import { readTls, type TlsFiles } from './tls.js'

/** The first descriptor of systemd's sockets, see sd_listen_fds(3). */
const FIRST_SYSTEMD_FD = 3
/** Clients at once on each host. They must not use up the descriptors that the ports need. */
const MAX_CONNECTIONS = 256
/** Only owner and group may connect. */
const SOCKET_UMASK = 0o117

/**
 * Serves the API on all hosts, or on none.
 * @param tls for TCP hosts: clients must show a certificate of the same authority
 * Rejects with HostError for a host that makes no sense, and with Error for a host that can't be used.
 */
export async function serve(
  handler: RequestListener,
  hosts: readonly Host[],
  tls: TlsFiles | undefined,
): Promise<Server[]> {
  const servers: Server[] = []
  try {
    for (const host of hosts) {
      for (const options of await listenOptions(host, tls !== undefined)) {
        const server =
          tls && host.kind === 'tcp'
            ? createTlsServer(
                { ...readTls(tls), requestCert: true, rejectUnauthorized: true },
                handler,
              )
            : createServer(handler)
        server.maxConnections = MAX_CONNECTIONS
        server.on('clientError', refuseGarbage)
        servers.push(server)
        await listen(server, options, host)
      }
    }
    return servers
  } catch (err) {
    for (const server of servers) server.close()
    throw err
  }
}

/** Data that is not HTTP gets an error of the same form as all others. */
function refuseGarbage(err: Error, socket: Duplex): void {
  if (!socket.writable) return
  const body = JSON.stringify({
    code: 'bad-request',
    message: `the request is not HTTP: ${err.message}`,
  })
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`
  socket.end(head + body)
}

async function listenOptions(host: Host, hasTls: boolean): Promise<ListenOptions[]> {
  switch (host.kind) {
    case 'unix':
      await removeStale(host.path)
      return [{ path: host.path }]
    case 'tcp':
      if (!hasTls && !isLoopback(host.ip)) {
        throw new HostError(
          `${formatHost(host)} would let everybody who can reach it act with the rights of the daemon: ` +
            `use --tlsverify with --tlscacert, --tlscert and --tlskey, or a loopback address`,
        )
      }
      return [{ host: host.ip, port: host.port }]
    case 'fd':
      return systemdSockets()
    case 'ssh':
      throw new HostError(`the daemon can't listen on ${formatHost(host)}: ssh:// is for clients`)
  }
}

/** Removes the socket of a daemon that was killed. A socket that answers, and any other file, stays. */
async function removeStale(path: string): Promise<void> {
  // libuv reports a missing folder as a missing permission.
  if (!existsSync(dirname(path))) {
    throw new Error(
      `can't listen on unix://${path}: there is no folder ${dirname(path)}; make it, or name another path with -H`,
    )
  }
  const stat = lstatSync(path, { throwIfNoEntry: false })
  if (!stat) return
  if (!stat.isSocket()) {
    throw new Error(`can't listen on unix://${path}: a file that is not a socket is already there`)
  }
  const probe = connect(path)
  try {
    await once(probe, 'connect')
  } catch (err) {
    if (errnoCode(err) === 'ECONNREFUSED') unlinkSync(path)
    return
  } finally {
    probe.destroy()
  }
  throw new Error(`another daemon listens on unix://${path}: stop it, or name another host with -H`)
}

/** Source: sd_listen_fds(3) */
function systemdSockets(): ListenOptions[] {
  const count = Number(process.env['LISTEN_FDS'] ?? 0)
  if (process.env['LISTEN_PID'] !== String(process.pid) || !(count > 0)) {
    throw new Error(
      'systemd handed over no socket for fd://: start the daemon by a .socket unit, or name another host with -H',
    )
  }
  return Array.from({ length: count }, (_, i) => ({ fd: FIRST_SYSTEMD_FD + i }) as ListenOptions)
}

async function listen(server: Server, options: ListenOptions, host: Host): Promise<void> {
  const umask = process.umask(SOCKET_UMASK)
  try {
    // This call makes the socket's file.
    server.listen(options)
  } finally {
    process.umask(umask)
  }
  try {
    await once(server, 'listening')
  } catch (err) {
    throw new Error(`can't listen on ${formatHost(host)}: ${errnoReason(err)}`, { cause: err })
  }
}
