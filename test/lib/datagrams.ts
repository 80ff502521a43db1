import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { Test } from 'tap'

/*
 * Real UDP sockets for tests. All of them are closed when the test ends.
 */

export interface UdpPeer {
  readonly socket: Socket
  readonly ip: string
  readonly port: number
}

/** A socket on a free port, or on a given one. */
export async function bindUdp(t: Test, ip = '127.0.0.1', port = 0): Promise<UdpPeer> {
  const socket = createSocket(isIPv6(ip) ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' })
  t.teardown(() => closeUdp(socket))
  socket.bind(port, ip)
  await once(socket, 'listening')
  return { socket, ip, port: socket.address().port }
}

/** Closes a socket, if it is not closed yet. */
export async function closeUdp(socket: Socket): Promise<void> {
  const closed = once(socket, 'close')
  try {
    socket.close()
  } catch {
    return
  }
  await closed
}

/** A server that echoes each datagram. */
export async function startUdpEcho(t: Test, ip?: string, port?: number): Promise<UdpPeer> {
  const peer = await bindUdp(t, ip, port)
  peer.socket.on('message', (data, from) => peer.socket.send(data, from.port, from.address))
  return peer
}

/** The next datagram and its sender. */
export async function receive(socket: Socket): Promise<{ data: Buffer; from: RemoteInfo }> {
  const [data, from] = (await once(socket, 'message')) as [Buffer, RemoteInfo]
  return { data, from }
}

/** Sends a datagram, and returns the next one that arrives. */
export async function ask(client: UdpPeer, port: number, data: Buffer | string): Promise<Buffer> {
  const answer = receive(client.socket)
  client.socket.send(data, port, client.ip)
  return (await answer).data
}
