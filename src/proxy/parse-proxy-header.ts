import { formatIp, isIpv6, parseIp } from '../linux/sockets/ip-address.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { isPort } from '../ports/host-port.js'
import { V2_KIND, V2_LOCAL, V2_PROXY, V2_SIGNATURE, type ClientConnection } from './proxy-header.js'

/** Bytes of a header at most. Version 2 allows 64 KiB; addresses and the fields of a TLS connection need much less. */
export const LONGEST_HEADER = 4_096

const V1_START = Buffer.from('PROXY ', 'latin1')
const V1_END = '\r\n'
/** Bytes of a header of version 1 at most, section 2.1. */
const V1_LONGEST = 107
/** Bytes before the addresses of version 2. */
const V2_HEAD = V2_SIGNATURE.length + 4
/** Bytes of the addresses and ports of each family. */
const V2_LENGTH = { 4: 12, 16: 36 } as const

/** A header that was read. */
export interface ParsedHeader {
  /** Bytes of the header. The client's data follows. */
  readonly length: number
  /** Undefined if the connection was not made for a client: its own addresses count. */
  readonly connection: ClientConnection | undefined
}

/**
 * Reads a header of the PROXY protocol at the beginning of a connection. Source: HAProxy, doc/proxy-protocol.txt.
 * @param bytes received so far
 * @returns `incomplete` if more has to be received
 */
export function parseProxyHeader(bytes: Buffer): ParsedHeader | 'incomplete' | 'invalid' {
  if (startsLike(bytes, V2_SIGNATURE)) return parseV2(bytes)
  if (startsLike(bytes, V1_START)) return parseV1(bytes)
  return 'invalid'
}

/** Whether the bytes so far agree with a beginning. */
function startsLike(bytes: Buffer, beginning: Buffer): boolean {
  const length = Math.min(bytes.length, beginning.length)
  return bytes.subarray(0, length).equals(beginning.subarray(0, length))
}

function parseV1(bytes: Buffer): ReturnType<typeof parseProxyHeader> {
  const text = bytes.toString('latin1', 0, V1_LONGEST)
  const end = text.indexOf(V1_END)
  if (end < 0) return text.length < V1_LONGEST ? 'incomplete' : 'invalid'
  const length = end + V1_END.length
  const [, family = '', ...words] = text.slice(0, end).split(' ')
  if (family === 'UNKNOWN') return { length, connection: undefined }
  const [from, to, fromPort, toPort, ...more] = words
  const client = addressOf(family, from, fromPort)
  const server = addressOf(family, to, toPort)
  if (!client || !server || more.length > 0 || !areOfOneFamily(client, server)) return 'invalid'
  return { length, connection: { client, server } }
}

function addressOf(family: string, text = '', digits = ''): SocketAddress | undefined {
  const ip = parseIp(text)
  const port = /^\d{1,5}$/.test(digits) ? Number(digits) : NaN
  if (ip === undefined || !isPort(port)) return undefined
  // An IPv4-mapped address is IPv6 in the header.
  return family === (isIpv6(text) ? 'TCP6' : 'TCP4') ? { ip, port } : undefined
}

function parseV2(bytes: Buffer): ReturnType<typeof parseProxyHeader> {
  if (bytes.length < V2_HEAD) return 'incomplete'
  const command = bytes.readUInt8(V2_SIGNATURE.length)
  const kind = bytes.readUInt8(V2_SIGNATURE.length + 1)
  const length = V2_HEAD + bytes.readUInt16BE(V2_SIGNATURE.length + 2)
  if ((command !== V2_PROXY && command !== V2_LOCAL) || length > LONGEST_HEADER) return 'invalid'
  if (bytes.length < length) return 'incomplete'
  const ipLength = kind === V2_KIND.tcp4 ? 4 : kind === V2_KIND.tcp6 ? 16 : undefined
  // The addresses of other families say nothing about a client of TCP.
  if (command === V2_LOCAL || ipLength === undefined) return { length, connection: undefined }
  if (length < V2_HEAD + V2_LENGTH[ipLength]) return 'invalid'
  const at = (index: number): Buffer =>
    bytes.subarray(V2_HEAD + index * ipLength, V2_HEAD + (index + 1) * ipLength)
  const ports = V2_HEAD + 2 * ipLength
  const client = { ip: formatIp(at(0)), port: bytes.readUInt16BE(ports) }
  const server = { ip: formatIp(at(1)), port: bytes.readUInt16BE(ports + 2) }
  return areOfOneFamily(client, server) ? { length, connection: { client, server } } : 'invalid'
}

/** One IPv4-mapped address alone is no connection that a client can have. */
function areOfOneFamily(client: SocketAddress, server: SocketAddress): boolean {
  return isIpv6(client.ip) === isIpv6(server.ip)
}
