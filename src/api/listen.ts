import { once } from 'node:events'
import { chownSync, existsSync, lstatSync, unlinkSync } from 'node:fs'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import { connect, type ListenOptions } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { localAddress } from '../linux/sockets/endpoints.js'
import { isLoopback } from '../linux/sockets/ip-address.js'
import { permitted } from './access.js'
import { limitConnections } from './connection-limit.js'
import { formatHost, HostError, type Host } from './host.js'
import { readTls, type TlsFiles } from './tls.js'

/** The first descriptor of systemd's sockets, see sd_listen_fds(3). */
const FIRST_SYSTEMD_FD = 3
/** Clients at once on each host. */
const MAX_CONNECTIONS = 256
/** A client has this long to send the head of a request, and to complete the TLS handshake, milliseconds. */
const HEAD_TIMEOUT_MS = 10_000
/** A client has this long to send a request, milliseconds. */
const REQUEST_TIMEOUT_MS = 30_000
/** Interval between checks for clients that are late, milliseconds. */
const CHECK_INTERVAL_MS = 1_000
/** A client has this long to read why its request was refused, milliseconds. */
const LAST_REPLY_MS = 1_000
/** Only owner and group may connect. */
const SOCKET_UMASK = 0o117

/** How clients of TCP hosts prove that they may use the API. */
export interface Authentication {
  /** Clients must show a certificate of the same authority. */
  readonly tls: TlsFiles | undefined
  /** Clients must show this token. */
  readonly token: string | undefined
  /** Whether loopback addresses may be served without either: every local user then has the rights of the daemon. */
  readonly isInsecure: boolean
}

/** A socket to listen on. */
interface Listening {
  readonly options: ListenOptions
  /** The address of a TCP socket; undefined for a unix socket. */
  readonly ip?: string
}

/**
 * Serves the API on all hosts, or on none.
 * @param groupId the group that may use unix sockets; by default that of the process
 * Rejects with HostError for a host that makes no sense, and with Error for a host that can't be used.
 */
export async function serve(
  handler: RequestListener,
  hosts: readonly Host[],
  authentication: Authentication,
  groupId?: number,
): Promise<Server[]> {
  const servers: Server[] = []
  try {
    for (const host of hosts) {
      for (const { options, ip } of await listeningsOf(host)) {
        if (ip !== undefined) refuseOpenHost(host, ip, authentication)
        const server = makeServer(handler, ip !== undefined, authentication)
        servers.push(server)
        await listen(server, options, host)
        if (host.kind === 'unix' && groupId !== undefined) giveToGroup(host, groupId)
      }
    }
    return servers
  } catch (err) {
    for (const server of servers) server.close()
    throw err
  }
}

/** Whether every local user could use a host of the API. */
export function isOpen({ tls, token }: Authentication): boolean {
  return tls === undefined && token === undefined
}

/** @throws HostError for a TCP host without authentication, unless it is a loopback address and requested */
function refuseOpenHost(host: Host, ip: string, authentication: Authentication): void {
  if (authentication.tls) return
  const name = host.kind === 'fd' ? `fd:// on the address ${ip}` : formatHost(host)
  const withTls = 'use --tlsverify with --tlscacert, --tlscert and --tlskey'
  if (!isLoopback(ip)) {
    throw new HostError(
      `${name} would give every client in the network the rights of the daemon: ${withTls}, or a loopback address`,
    )
  }
  if (!isOpen(authentication) || authentication.isInsecure) return
  throw new HostError(
    `${name} would give every local user the rights of the daemon: use --token-file FILE; ${withTls}; or accept it with --insecure`,
  )
}

function makeServer(
  handler: RequestListener,
  isTcp: boolean,
  { tls, token }: Authentication,
): Server {
  const hasTls = isTcp && tls !== undefined
  const options = {
    headersTimeout: HEAD_TIMEOUT_MS,
    requestTimeout: REQUEST_TIMEOUT_MS,
    connectionsCheckingInterval: CHECK_INTERVAL_MS,
  }
  const guarded = isTcp ? permitted(handler, { hasTls, token }) : handler
  const server = hasTls
    ? createTlsServer(
        {
          ...options,
          ...readTls(tls),
          requestCert: true,
          rejectUnauthorized: true,
          handshakeTimeout: HEAD_TIMEOUT_MS,
        },
        guarded,
      )
    : createServer(options, guarded)
  limitConnections(server, MAX_CONNECTIONS)
  server.on('clientError', refuseGarbage)
  return server
}

/** Data that is not HTTP, or comes too late, gets an error of the same form as all others. Then the connection is closed. */
function refuseGarbage(err: Error, socket: Duplex): void {
  if (!socket.writable) return void socket.destroy()
  // The client may neither read nor close.
  setTimeout(() => socket.destroy(), LAST_REPLY_MS)
  // Unread data would make the close a reset, which overtakes the reply.
  socket.resume()
  const body = JSON.stringify({
    code: 'bad-request',
    message: `the request is not HTTP: ${err.message}`,
  })
  const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n`
  socket.end(head + body)
}

async function listeningsOf(host: Host): Promise<Listening[]> {
  switch (host.kind) {
    case 'unix':
      await removeStale(host.path)
      return [{ options: { path: host.path } }]
    case 'tcp':
      return [{ options: { host: host.ip, port: host.port }, ip: host.ip }]
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
function systemdSockets(): Listening[] {
  const count = Number(process.env['LISTEN_FDS'] ?? 0)
  if (process.env['LISTEN_PID'] !== String(process.pid) || !(count > 0)) {
    throw new Error(
      'systemd handed over no socket for fd://: start the daemon by a .socket unit, or name another host with -H',
    )
  }
  return Array.from({ length: count }, (_, i) => {
    const options = { fd: FIRST_SYSTEMD_FD + i } as ListenOptions
    const ip = localAddress(FIRST_SYSTEMD_FD + i)?.ip
    return ip === undefined ? { options } : { options, ip }
  })
}

/** @throws Error with a sentence for the user */
function giveToGroup(host: Extract<Host, { kind: 'unix' }>, groupId: number): void {
  try {
    chownSync(host.path, -1, groupId)
  } catch (err) {
    throw new Error(`can't give ${formatHost(host)} to the group ${groupId}: ${errnoReason(err)}`, {
      cause: err,
    })
  }
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
