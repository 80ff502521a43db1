import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { isIPv6 } from 'node:net'
import type { Test } from 'tap'
import { AF_INET, IPPROTO } from '../../src/linux/ffi/constants.js'
import { requireFfi } from '../../src/linux/ffi/ffi.js'
import { requireSyscalls } from '../../src/linux/ffi/syscalls.js'
import { encodeSocketAddress } from '../../src/linux/sockets/socket-address.js'

/** A type of socket(2). */
const SOCK_RAW = 3
/** Size of the header of a UDP datagram, bytes. */
const UDP_HEADER = 8

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

/** Sends a datagram to a loopback port from a port that no socket has, for example port 0. Needs root. */
export function sendForged(from: number, to: number, text: string): void {
  const syscalls = requireSyscalls()
  const { addressOf } = requireFfi()
  const fd = syscalls.socket(AF_INET, SOCK_RAW, IPPROTO.UDP)
  try {
    const address = encodeSocketAddress({ ip: '127.0.0.1', port: 0 })
    syscalls.connect(fd, addressOf(address), address.length)
    // The header of UDP, see RFC 768. A checksum of zero stands for none.
    const datagram = Buffer.alloc(UDP_HEADER + text.length)
    datagram.writeUInt16BE(from, 0)
    datagram.writeUInt16BE(to, 2)
    datagram.writeUInt16BE(datagram.length, 4)
    datagram.write(text, UDP_HEADER)
    const sent = syscalls.send(fd, addressOf(datagram), datagram.length, 0)
    if (sent !== datagram.length) throw new Error(`a raw socket can't send: ${sent}`)
  } finally {
    syscalls.close(fd)
  }
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
