import { createSocket, type RemoteInfo } from 'node:dgram'
import { isIPv6 } from 'node:net'
import type { Log } from '../../log/log.js'
import {
  RECEIVE_BUFFER,
  type DatagramTransport,
  type PortSocket,
  type PortSocketEvents,
} from '../datagram-proxy.js'
import { bindError, invalidArgument } from '../listen-error.js'
import { checkListenFd, listenFdError } from '../listen-fd.js'
import { hostAddressOf, isPort, type PublishedPort } from '../published-port.js'
import { loadLibc } from '../../linux/libc.js'
import { openPortSocket } from '../../linux/port-socket.js'
import { openFlow } from './udp-flow.js'

/** A datagram of a client, and how to answer it. */
export interface Received {
  readonly data: Buffer
  answer(data: Buffer): void
}

/** UDP on dgram sockets. */
export function udpTransport(log: Log): DatagramTransport<Received> {
  return {
    async openSocket(port, events) {
      const socket = await openSocket(port, events)
      const { ip } = socket.address
      if (ip === '0.0.0.0' || ip === '::') {
        log.warn(
          `Replies from ${ip} leave from the address that the kernel chooses: with several addresses, publish on one, or use the native engine`,
        )
      }
      return socket
    },
    openFlow,
  }
}

/**
 * Binds the port so that its descriptor is known, which Node does not tell; undefined where there is no FFI.
 * @throws ListenError
 */
function bindByLibc(port: PublishedPort): number | undefined {
  if (!loadLibc() || !isPort(port.hostPort)) return undefined
  try {
    return openPortSocket('udp', hostAddressOf(port), port.hostPort)
  } catch (err) {
    throw bindError(port, err)
  }
}

/** Rejects with ListenError. */
async function openSocket(
  port: PublishedPort,
  events: PortSocketEvents<Received>,
): Promise<PortSocket> {
  if (port.listenFd !== undefined) checkListenFd('udp', port.listenFd)
  const host = hostAddressOf(port)
  const fd = port.listenFd ?? bindByLibc(port)
  const socket = createSocket({
    ...(isIPv6(host) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' }),
    recvBufferSize: RECEIVE_BUFFER,
  })
  try {
    if (!isPort(port.hostPort) && fd === undefined) throw invalidArgument()
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      const done = (): void => {
        socket.off('error', reject)
        resolve()
      }
      if (fd === undefined) socket.bind({ address: host, port: port.hostPort }, done)
      else socket.bind({ fd }, done)
    })
  } catch (err) {
    socket.close()
    if (port.listenFd === undefined) throw bindError(port, err)
    throw listenFdError('udp')
  }

  socket.on('message', (data: Buffer, from: RemoteInfo) => {
    const answer = (reply: Buffer): void =>
      socket.send(reply, from.port, from.address, () => undefined)
    try {
      events.received(`${from.address} ${from.port}`, { data, answer }, data.length)
    } catch (err) {
      events.failed(err) // It is this client's, and the others go on.
    }
  })
  let isClosed = false
  socket.on('error', (err) => {
    if (!isClosed) events.broken(err)
  })
  const { address: ip, port: bound } = socket.address()
  return {
    address: { ip, port: bound },
    fd,
    pause: () => false,
    close() {
      if (isClosed) return
      isClosed = true
      socket.close()
    },
  }
}
