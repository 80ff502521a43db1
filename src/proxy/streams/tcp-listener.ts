import { closeSync } from 'node:fs'
import { createServer, Socket, type Server } from 'node:net'
import { errnoCode } from '../../linux/errno.js'
import { loadCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import { BACKLOG } from '../../linux/sockets/port-socket.js'
import type { SocketAddress } from '../../linux/sockets/socket-address.js'
import { isPort } from '../../ports/host-port.js'
import type { Listener, ListenerEvents } from '../transport.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError, unixSocketError } from '../listen-fd.js'
import { listenIp, type PublishedPort } from '../published-port.js'
import { descriptorOf } from './descriptor.js'
import { SOCKET_OPTIONS } from './dialer.js'
import { watchListener } from './listener-watch.js'
import { mayTurnBeLong } from './long-turns.js'

/** Connections that are accepted in a turn at most. */
const MOST_AT_ONCE = 256
/** `manualStart` is an undocumented option of Node's: nothing is read until `read` or `resume` is called. */
const UNREAD = { readable: true, writable: true, manualStart: true }

/** Opens the port's listening socket, or takes the one that was handed over. Rejects with ListenError. */
export async function openListener(
  port: PublishedPort,
  events: ListenerEvents<Socket>,
): Promise<Listener> {
  const server = createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true })
  let accepted = 0
  const accept = (client: Socket): void => {
    accepted++
    // A client that waits for a backend has no other handler.
    client.on('error', () => undefined)
    try {
      events.accepted(client)
    } catch (err) {
      events.listenerFaulted(err) // Only this client is affected.
    }
  }
  server.on('connection', (client) => {
    accept(client)
    if (mayTurnBeLong()) acceptWaiting(() => descriptorOf(server), accept, events)
  })
  await (port.listenFd === undefined ? bind(server, port) : adopt(server, port.listenFd))
  server.on('error', (err) => events.listenerBroke(err))
  const { address, port: boundPort } = addressOf(server)
  const stopWatch = watchListener(
    loadCheckedSyscalls,
    () => descriptorOf(server),
    () => accepted,
    () => events.listenerBroke(invalidArgument()),
  )
  return new StreamsListener(server, { ip: address, port: boundPort }, stopWatch)
}

/**
 * Accepts the waiting connections. libuv alone accepts one in each turn, and without FFI that remains so.
 * @param listener returns the listening socket, or undefined once accepting is paused
 */
function acceptWaiting(
  listener: () => number | undefined,
  accept: (client: Socket) => void,
  events: ListenerEvents<Socket>,
): void {
  const syscalls = loadCheckedSyscalls()
  for (let i = 0; i < MOST_AT_ONCE; i++) {
    const fd = listener()
    const accepted = fd === undefined ? undefined : syscalls?.accept(fd)
    if (accepted === undefined) return
    try {
      accept(socketOf(accepted))
    } catch (err) {
      closeSync(accepted)
      return events.listenerFaulted(err)
    }
  }
}

/** Makes a socket like those that Node accepts: paused, and with the options of the server. */
function socketOf(fd: number): Socket {
  const socket = new Socket({ fd, allowHalfOpen: true, ...UNREAD })
  socket.setNoDelay(SOCKET_OPTIONS.noDelay)
  socket.setKeepAlive(SOCKET_OPTIONS.keepAlive, SOCKET_OPTIONS.keepAliveInitialDelay)
  return socket
}

class StreamsListener implements Listener {
  /** A copy of the listening socket while accepting is paused. */
  #paused: number | undefined

  constructor(
    private readonly server: Server,
    readonly address: SocketAddress,
    private readonly stopWatch: () => void,
  ) {}

  get fd(): number | undefined {
    return this.#paused ?? descriptorOf(this.server)
  }

  pause(): boolean {
    const fd = descriptorOf(this.server)
    const copy = fd === undefined ? undefined : loadCheckedSyscalls()?.duplicate(fd)
    if (copy === undefined) return false
    this.#paused = copy
    this.server.close()
    return true
  }

  resume(): void {
    if (this.#paused === undefined) return
    this.server.listen({ fd: this.#paused, backlog: BACKLOG })
    this.#paused = undefined
  }

  close(): void {
    this.stopWatch()
    this.server.close()
    if (this.#paused !== undefined) closeSync(this.#paused)
    this.#paused = undefined
  }
}

/** @throws ListenError for a unix socket */
function addressOf(server: Server): { address: string; port: number } {
  const address = server.address()
  if (address !== null && typeof address !== 'string') return address
  server.close()
  throw unixSocketError('tcp')
}

async function bind(server: Server, port: PublishedPort): Promise<void> {
  if (!isPort(port.port)) throw bindError(port, invalidArgument())
  try {
    // dockerd starts one proxy for each family.
    await listen(server, { host: listenIp(port), port: port.port, ipv6Only: true })
  } catch (err) {
    throw bindError(port, err)
  }
}

async function adopt(server: Server, fd: number): Promise<void> {
  checkListenFd('tcp', fd)
  try {
    await listen(server, { fd })
  } catch (err) {
    throw listenFdError('tcp', errnoCode(err))
  }
}

function listen(
  server: Server,
  options: { fd: number } | { host: string; port: number; ipv6Only: boolean },
): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ ...options, backlog: BACKLOG }, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
