import { closeSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { errnoCode } from '../../linux/errno.js'
import { loadLibc } from '../../linux/libc.js'
import { BACKLOG } from '../../linux/port-socket.js'
import type { Listener, ListenerEvents } from '../connection-proxy.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError, unixSocketError } from '../listen-fd.js'
import { hostAddressOf, isPort, type PublishedPort } from '../published-port.js'
import { watchListener } from './listener-watch.js'
import { descriptorOf } from './descriptor.js'
import { SOCKET_OPTIONS } from './tcp-relay.js'

/** Opens the port's listening socket, or takes the one handed over. Rejects with ListenError. */
export async function openListener(
  port: PublishedPort,
  events: ListenerEvents<Socket>,
): Promise<Listener> {
  const server = createServer({ ...SOCKET_OPTIONS, pauseOnConnect: true })
  let accepted = 0
  server.on('connection', (client) => {
    accepted++
    events.connection(client)
  })
  await (port.listenFd === undefined ? bind(server, port) : adopt(server, port.listenFd))
  server.on('error', (err) => events.broken(err))

  const address = server.address()
  if (address === null || typeof address === 'string') {
    server.close()
    throw unixSocketError('tcp')
  }

  const endWatch = watchListener(
    loadLibc,
    () => descriptorOf(server),
    () => accepted,
    () => events.broken(invalidArgument()),
  )
  /** The listening socket while nobody accepts from it. */
  let spare: number | undefined
  return {
    address: { ip: address.address, port: address.port },
    get fd() {
      return spare ?? descriptorOf(server)
    },
    pause() {
      const fd = descriptorOf(server)
      const copy = fd === undefined ? undefined : loadLibc()?.duplicate(fd)
      if (copy === undefined) return false
      spare = copy
      server.close()
      return true
    },
    resume() {
      if (spare === undefined) return
      server.listen({ fd: spare, backlog: BACKLOG })
      spare = undefined
    },
    close() {
      endWatch()
      server.close()
      if (spare !== undefined) closeSync(spare)
      spare = undefined
    },
  }
}

async function bind(server: Server, port: PublishedPort): Promise<void> {
  if (!isPort(port.hostPort)) throw bindError(port, invalidArgument())
  try {
    await listen(server, {
      host: hostAddressOf(port),
      port: port.hostPort,
      // dockerd starts a proxy of its own for each family.
      ipv6Only: true,
    })
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
