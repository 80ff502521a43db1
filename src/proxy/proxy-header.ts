import { ipBytes, isIpv6, isWildcard, parseIp } from '../linux/sockets/ip-address.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'

/*
 * The header of the PROXY protocol, by which a proxy tells a backend the client's address.
 * Source: HAProxy, doc/proxy-protocol.txt, sections 2.1 and 2.2.
 */

export const PROXY_VERSIONS = ['v1', 'v2'] as const
export type ProxyVersion = (typeof PROXY_VERSIONS)[number]

export const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Version 2 and the command PROXY, or LOCAL: the backend uses the addresses of the connection itself. */
export const V2_PROXY = 0x21
export const V2_LOCAL = 0x20
/** The family and the protocol of the addresses: TCP over IPv4 or IPv6, and UDP. */
export const V2_KIND = {
  tcp4: 0x11,
  tcp6: 0x21,
  udp4: 0x12,
  udp6: 0x22,
  unspecified: 0x00,
} as const
/** Bytes of a port. */
const PORT_LENGTH = 2

/** The two ends of a client's connection, or of a flow of datagrams. */
export interface ClientConnection {
  readonly client: SocketAddress
  /** The address that the client has dialled. */
  readonly server: SocketAddress
}

/** The header before each datagram of a flow. Only version 2 has one. */
export function datagramHeader({ client, server }: ClientConnection): Buffer {
  // A socket for all addresses does not always tell the address that the client asked.
  const ip = isWildcard(server.ip) ? wildcardFor(client.ip) : server.ip
  return headerV2(plain({ client, server: { ip, port: server.port } }), 'udp')
}

function wildcardFor(ip: string): string {
  return isIpv6(parseIp(ip) ?? ip) ? '::' : '0.0.0.0'
}

/** The header for a connection. @param connection undefined if its addresses are not known, because the client has gone */
export function proxyHeader(
  version: ProxyVersion,
  connection: ClientConnection | undefined,
): Buffer {
  const known = connection && plain(connection)
  return version === 'v1' ? headerV1(known) : headerV2(known, 'tcp')
}

/** IPv4-mapped addresses as IPv4; undefined for addresses of different families, which no header can have. */
function plain({ client, server }: ClientConnection): ClientConnection | undefined {
  const [from, to] = [parseIp(client.ip), parseIp(server.ip)]
  if (from === undefined || to === undefined || isIpv6(from) !== isIpv6(to)) return undefined
  return { client: { ip: from, port: client.port }, server: { ip: to, port: server.port } }
}

function headerV1(connection: ClientConnection | undefined): Buffer {
  if (!connection) return Buffer.from('PROXY UNKNOWN\r\n')
  const { client, server } = connection
  const family = isIpv6(client.ip) ? 'TCP6' : 'TCP4'
  return Buffer.from(`PROXY ${family} ${client.ip} ${server.ip} ${client.port} ${server.port}\r\n`)
}

function headerV2(connection: ClientConnection | undefined, protocol: 'tcp' | 'udp'): Buffer {
  if (!connection) return v2(V2_LOCAL, V2_KIND.unspecified, [])
  const { client, server } = connection
  const kind = V2_KIND[`${protocol}${isIpv6(client.ip) ? '6' : '4'}`]
  const addresses = [
    ipBytes(client.ip),
    ipBytes(server.ip),
    bigEndian(client.port),
    bigEndian(server.port),
  ]
  return v2(V2_PROXY, kind, addresses)
}

function v2(command: number, kind: number, addresses: readonly Buffer[]): Buffer {
  const length = addresses.reduce((sum, part) => sum + part.length, 0)
  return Buffer.concat([
    V2_SIGNATURE,
    Buffer.from([command, kind]),
    bigEndian(length),
    ...addresses,
  ])
}

function bigEndian(number: number): Buffer {
  const bytes = Buffer.alloc(PORT_LENGTH)
  bytes.writeUInt16BE(number)
  return bytes
}
