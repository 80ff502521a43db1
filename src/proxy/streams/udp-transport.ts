import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { loadCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import { AF_INET6 } from '../../linux/ffi/constants.js'
import { isIpv6, isWildcard, withoutZone } from '../../linux/sockets/ip-address.js'
import { openPortSocket } from '../../linux/sockets/port-socket.js'
import { isPort } from '../../ports/host-port.js'
import {
  RECEIVE_BUFFER,
  type DatagramTransport,
  type PortSocket,
  type PortSocketEvents,
} from '../datagram-proxy.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError } from '../listen-fd.js'
import type { ProxyObserver } from '../observer.js'
import { listenIp, type PublishedPort } from '../published-port.js'
import type { ReceivedDatagram } from './received-datagram.js'
import { UdpFlow } from './udp-flow.js'

/** Replies that wait in this process are dropped beyond this, bytes: libuv's queue has no limit of its own. */
const MAX_QUEUE = 1024 * 1024

/** UDP on dgram sockets. */
export function udpTransport(observer: ProxyObserver): DatagramTransport<ReceivedDatagram> {
  return {
    async openSocket(port, events) {
      const socket = await openSocket(port, events)
      const { ip } = socket.address
      if (isWildcard(ip)) {
        observer.degraded(
          `Replies from ${ip} leave from the address that the kernel chooses: with several addresses, publish on one of them, or use the native engine`,
        )
      }
      return socket
    },
    openFlow: (first, backend, events, header) => new UdpFlow(first, backend, events, header),
    // Node does not tell it.
    serverIp: () => undefined,
    clientAddress: ({ client }) => client,
  }
}

/** Rejects with ListenError. */
async function openSocket(
  port: PublishedPort,
  events: PortSocketEvents<ReceivedDatagram>,
): Promise<PortSocket> {
  if (port.listenFd !== undefined) checkListenFd('udp', port.listenFd)
  const fd = port.listenFd ?? bindWithSyscalls(port)
  const socket = createSocket({
    ...(isIpv6Socket(port, fd) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' }),
    recvBufferSize: RECEIVE_BUFFER,
  })
  try {
    await bind(socket, port, fd)
  } catch (err) {
    socket.close()
    if (port.listenFd === undefined) throw bindError(port, err)
    throw listenFdError('udp')
  }
  socket.on('message', (data: Buffer, from: RemoteInfo) => {
    const client = { ip: withoutZone(from.address), port: from.port }
    const reply = (answer: Buffer): boolean => {
      if (socket.getSendQueueSize() > MAX_QUEUE) return false
      socket.send(answer, from.port, from.address, () => undefined)
      return true
    }
    try {
      events.received(`${from.address} ${from.port}`, { data, client, reply }, data.length, 1)
    } catch (err) {
      events.listenerFaulted(err) // Only this client is affected.
    }
  })
  return portSocket(socket, fd, events)
}

/** The family of a socket that was handed over may differ from the address, which is only a name then. */
function isIpv6Socket(port: PublishedPort, fd: number | undefined): boolean {
  const family = fd === undefined ? undefined : loadCheckedSyscalls()?.family(fd)
  return family === undefined ? isIpv6(listenIp(port)) : family === AF_INET6
}

/**
 * Binds the port by system calls, because Node does not tell the descriptor of a dgram socket.
 * @returns undefined where there is no FFI
 * @throws ListenError
 */
function bindWithSyscalls(port: PublishedPort): number | undefined {
  if (!loadCheckedSyscalls() || !isPort(port.port)) return undefined
  try {
    return openPortSocket({ ...port, ip: listenIp(port) })
  } catch (err) {
    throw bindError(port, err)
  }
}

async function bind(socket: Socket, port: PublishedPort, fd: number | undefined): Promise<void> {
  if (!isPort(port.port) && fd === undefined) throw invalidArgument()
  await new Promise<void>((resolve, reject) => {
    socket.once('error', reject)
    const done = (): void => {
      socket.off('error', reject)
      resolve()
    }
    if (fd === undefined) socket.bind({ address: listenIp(port), port: port.port }, done)
    else socket.bind({ fd }, done)
  })
}

function portSocket(
  socket: Socket,
  fd: number | undefined,
  events: PortSocketEvents<ReceivedDatagram>,
): PortSocket {
  let isClosed = false
  socket.on('error', (err) => {
    if (!isClosed) events.listenerBroke(err)
  })
  const { address: ip, port } = socket.address()
  return {
    address: { ip, port },
    fd,
    pause: () => false,
    close() {
      if (isClosed) return
      isClosed = true
      socket.close()
    },
  }
}
