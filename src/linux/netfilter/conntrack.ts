import { setImmediate } from 'node:timers/promises'
import {
  CONNTRACK,
  CTA,
  CTA_FILTER,
  IPPROTO,
  NETLINK_NETFILTER,
  NLA_F_NESTED,
  NLM_F_DUMP,
  SIZE_OF_INT,
} from '../ffi/constants.js'
import { formatIp, ipBytes, isIpv6 } from '../sockets/ip-address.js'
import { attributes, encodeAttribute, NetlinkSocket, writeU32 } from '../sockets/netlink.js'
import { familyOf, type SocketAddress } from '../sockets/socket-address.js'

/** A connection, or a flow of UDP, as netfilter tracks it. */
export interface TrackedConnection {
  readonly protocol: 'tcp' | 'udp'
  readonly client: SocketAddress
  /** The address that the client sent to. */
  readonly destination: SocketAddress
  /** The address that replies. After a translation it is another one. */
  readonly replier: SocketAddress
}

/** Connections that are deleted in one turn. */
const DELETIONS_PER_TURN = 200
/** Size of struct nfgenmsg, bytes. Its first byte is the address family. */
const GENERIC_SIZE = 4
const PROTOCOLS = new Map<number, TrackedConnection['protocol']>([
  [IPPROTO.TCP, 'tcp'],
  [IPPROTO.UDP, 'udp'],
])

/** Finds connections. Nothing else is delayed meanwhile, although there may be hundreds of thousands. Rejects with SystemError, for example `EPERM`. */
export async function findConnections(
  matches: (connection: TrackedConnection) => boolean,
): Promise<TrackedConnection[]> {
  const found: TrackedConnection[] = []
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  try {
    await dump(socket, (connection) => {
      if (matches(connection)) found.push(connection)
    })
  } finally {
    socket.close()
  }
  return found
}

/**
 * Makes netfilter forget connections: their next packet goes through all rules again.
 * @param matches is asked when a connection is found, and again before it is forgotten
 * @param repliers only connections in which one of these addresses replies; undefined for all. Among hundreds of thousands, the kernel finds
 *   them in milliseconds.
 * @returns the number of connections
 * Rejects with SystemError, for example `EPERM`.
 */
export async function forgetConnections(
  matches: (connection: TrackedConnection) => boolean,
  repliers?: readonly string[],
): Promise<number> {
  const socket = new NetlinkSocket(NETLINK_NETFILTER)
  const found: { connection: TrackedConnection; key: Buffer }[] = []
  let count = 0
  try {
    for (const replier of repliers ?? [undefined]) {
      await dump(
        socket,
        (connection, body) => {
          if (matches(connection)) found.push({ connection, key: encodeKey(body) })
        },
        replier,
      )
    }
    for (const [i, { connection, key }] of found.entries()) {
      if (i % DELETIONS_PER_TURN === 0) await setImmediate()
      // The answer may be another one by now.
      if (!matches(connection)) continue
      count++
      // Without a flag for replies, the kernel replies errors alone. They are ignored: the connection may have ended meanwhile.
      socket.send(typeOf(CONNTRACK.DELETE), 0, key)
    }
  } finally {
    socket.close()
  }
  return count
}

/**
 * Reads connections, one block of them in each turn.
 * @param take also gets the message, until it returns
 * @param replier the address that replies; undefined for any. Kernels before 5.8 return all connections nevertheless.
 */
async function dump(
  socket: NetlinkSocket,
  take: (connection: TrackedConnection, body: Buffer) => void,
  replier?: string,
): Promise<void> {
  const request = replier === undefined ? Buffer.alloc(GENERIC_SIZE) : encodeFilter(replier)
  socket.send(typeOf(CONNTRACK.GET), NLM_F_DUMP, request)
  const takeBody = (body: Buffer): void => {
    const connection = decodeConnection(body)
    if (connection) take(connection, body)
  }
  while (!socket.receive(takeBody)) await setImmediate()
}

function typeOf(message: number): number {
  return (CONNTRACK.PART << 8) | message
}

/** The body of a request for the connections in which an address replies. */
function encodeFilter(replier: string): Buffer {
  const generic = Buffer.alloc(GENERIC_SIZE)
  generic.writeUInt8(familyOf(replier), 0)
  const source = isIpv6(replier) ? CTA.IP_V6_SRC : CTA.IP_V4_SRC
  const nested = (type: number, value: Buffer): Buffer =>
    encodeAttribute(type | NLA_F_NESTED, value)
  const flags = Buffer.alloc(SIZE_OF_INT)
  writeU32(flags, CTA_FILTER.IP_SRC, 0)
  return Buffer.concat([
    generic,
    nested(CTA.TUPLE_REPLY, nested(CTA.TUPLE_IP, encodeAttribute(source, ipBytes(replier)))),
    nested(CTA.FILTER, encodeAttribute(CTA_FILTER.REPLY_FLAGS, flags)),
  ])
}

/** The part of a message by which the kernel finds the connection. */
function encodeKey(body: Buffer): Buffer {
  const original = find(body, CTA.TUPLE_ORIG, GENERIC_SIZE) ?? Buffer.alloc(0)
  return Buffer.concat([
    body.subarray(0, GENERIC_SIZE),
    encodeAttribute(CTA.TUPLE_ORIG | NLA_F_NESTED, original),
  ])
}

/** @returns undefined for a protocol without ports */
function decodeConnection(body: Buffer): TrackedConnection | undefined {
  const original = find(body, CTA.TUPLE_ORIG, GENERIC_SIZE)
  const reply = find(body, CTA.TUPLE_REPLY, GENERIC_SIZE)
  if (!original || !reply) return undefined
  const protocol = PROTOCOLS.get(
    find(find(original, CTA.TUPLE_PROTO), CTA.PROTO_NUM)?.readUInt8() ?? 0,
  )
  const client = decodeEnd(original, [CTA.IP_V4_SRC, CTA.IP_V6_SRC], CTA.PROTO_SRC_PORT)
  const destination = decodeEnd(original, [CTA.IP_V4_DST, CTA.IP_V6_DST], CTA.PROTO_DST_PORT)
  const replier = decodeEnd(reply, [CTA.IP_V4_SRC, CTA.IP_V6_SRC], CTA.PROTO_SRC_PORT)
  if (!protocol || !client || !destination || !replier) return undefined
  return { protocol, client, destination, replier }
}

/** One end of a tuple: the attributes of its address, IPv4 or IPv6, and of its port. */
function decodeEnd(
  tuple: Buffer,
  [ipv4, ipv6]: readonly [number, number],
  portType: number,
): SocketAddress | undefined {
  const addresses = find(tuple, CTA.TUPLE_IP)
  const ip = find(addresses, ipv4) ?? find(addresses, ipv6)
  const port = find(find(tuple, CTA.TUPLE_PROTO), portType)
  return ip && port ? { ip: formatIp(ip), port: port.readUInt16BE() } : undefined
}

function find(message: Buffer | undefined, wanted: number, from = 0): Buffer | undefined {
  if (!message) return undefined
  for (const { type, value } of attributes(message, from)) if (type === wanted) return value
  return undefined
}
