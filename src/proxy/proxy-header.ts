import { ipBytes, isIpv6, parseIp } from '../linux/sockets/ip-address.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'

/*
 * The header of the PROXY protocol, by which a proxy tells a backend the client's address.
 * Source: HAProxy, doc/proxy-protocol.txt, sections 2.1 and 2.2.
 */

export const PROXY_VERSIONS = ['v1', 'v2'] as const
export type ProxyVersion = (typeof PROXY_VERSIONS)[number]

const V2_SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
/** Version 2 and the command PROXY, or LOCAL: the backend uses the addresses of the connection itself. */
const V2_PROXY = 0x21
const V2_LOCAL = 0x20
/** TCP over IPv4, or over IPv6. */
const V2_TCP4 = 0x11
const V2_TCP6 = 0x21
const V2_UNSPECIFIED = 0x00
/** Bytes of a port. */
const PORT_LENGTH = 2

/** The two ends of a client's TCP connection. */
export interface ClientConnection {
  readonly client: SocketAddress
  /** The address that the client has dialled. */
  readonly server: SocketAddress
}

/** The header for a connection. @param connection undefined if its addresses are not known, because the client has gone */
export function proxyHeader(
  version: ProxyVersion,
  connection: ClientConnection | undefined,
): Buffer {
  const known = connection && plain(connection)
  return version === 'v1' ? headerV1(known) : headerV2(known)
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

function headerV2(connection: ClientConnection | undefined): Buffer {
  if (!connection) return v2(V2_LOCAL, V2_UNSPECIFIED, [])
  const { client, server } = connection
  const kind = isIpv6(client.ip) ? V2_TCP6 : V2_TCP4
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
