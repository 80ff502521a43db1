import { requireSyscalls } from '../ffi/syscalls.js'
import { ERRNO, IP_PKTINFO, IPPROTO, IPV6_PKTINFO, MSG } from '../ffi/constants.js'
import { formatIp } from './ip-address.js'
import { requireFfi } from '../ffi/ffi.js'
import {
  decodeSocketAddress,
  SIZE_OF_SOCKADDR_IN,
  SIZE_OF_SOCKADDR_IN6,
  type SocketAddress,
} from './socket-address.js'

/**
 * Offsets in struct mmsghdr of recvmmsg(2): struct msghdr of recvmsg(2) and a length. All layouts here are those of 64-bit little-endian
 * processors.
 */
const HEADER = {
  name: 0,
  nameLength: 8,
  iov: 16,
  iovLength: 24,
  control: 32,
  controlLength: 40,
  received: 56,
  size: 64,
} as const
/** Offsets in struct iovec. */
const IOV = { base: 0, length: 8, size: 16 } as const

/** Offsets in struct cmsghdr of cmsg(3). */
const CONTROL = { length: 0, level: 8, type: 12, data: 16 } as const
/**
 * The data of a control message: struct in_pktinfo of ip(7) with interface, local address and destination; or struct in6_pktinfo of
 * ipv6(7) with destination and interface.
 */
const PKTINFO = {
  ipv4: { level: IPPROTO.IP, type: IP_PKTINFO, size: 12, interface: 0, asked: 8, ipSize: 4 },
  ipv6: { level: IPPROTO.IPV6, type: IPV6_PKTINFO, size: 20, interface: 16, asked: 0, ipSize: 16 },
} as const

/** An envelope: struct sockaddr of the sender, and a control message with room for either kind. */
const ENVELOPE = {
  name: 0,
  nameSize: SIZE_OF_SOCKADDR_IN6,
  control: 32,
  controlSize: 40,
  size: 72,
} as const

/** Datagrams of one call. */
const COUNT = 32
/** Size of the largest datagram, bytes. */
const MAX_DATA = 65_536

/** The sender of a datagram, and the local address that it was sent to: a reply goes to the first and comes from the second. */
export interface Envelope {
  /** Kept referenced, because `address` points into it. */
  readonly bytes: Buffer
  readonly address: number
  readonly nameLength: number
  /** 0 if the kernel chooses the source of replies. */
  controlLength: number
}

/**
 * Errors of a send with an unusable source: a multicast or broadcast address, or an address that this host no longer has. ENETUNREACH is
 * the error of a broadcast address over IPv4 on an IPv6 socket.
 */
const SOURCE_REFUSALS: readonly number[] = [
  -ERRNO.ENETUNREACH,
  -ERRNO.EINVAL,
  -ERRNO.EADDRNOTAVAIL,
  -ERRNO.ENODEV,
  -ERRNO.ENXIO,
]
/** The first bytes of link-local addresses, see RFC 4291, section 2.5.6. */
const LINK_LOCAL = { bytes: 0xfe80, mask: 0xffc0 }

/** The envelope of datagrams on a connected socket. */
const CONNECTED = { address: 0, nameLength: 0, controlLength: 0 }

const NOTHING = Buffer.alloc(0)

/** Memory that the kernel reads and writes. */
interface Memory {
  readonly bytes: Buffer
  readonly view: DataView
  readonly address: number
}

/** Receives and sends many datagrams at a time. Received datagrams have places from 0 on, and are valid until the next `receive`. */
export class MessageBatch {
  readonly #syscalls = requireSyscalls()
  readonly #data = allocate(COUNT * MAX_DATA)
  readonly #envelopes = allocate(COUNT * ENVELOPE.size)
  readonly #incoming = allocate(COUNT * HEADER.size)
  readonly #outgoing = allocate(COUNT * HEADER.size)
  /** I/O vectors: of the incoming messages first, then two for each of the outgoing ones, for a prefix and the data. */
  readonly #iovs = allocate(3 * COUNT * IOV.size)
  /** I/O vectors of each outgoing message: 2 if it has a prefix. */
  readonly #vectors = new Uint8Array(COUNT).fill(1)
  /** Number of headers that the kernel may have changed. */
  #used = COUNT

  constructor() {
    for (let i = 0; i < COUNT; i++) {
      const envelope = this.#envelopes.address + i * ENVELOPE.size
      for (const [headers, iov, length] of [
        [this.#incoming, i, MAX_DATA],
        [this.#outgoing, dataIov(i), 0],
      ] as const) {
        const at = i * HEADER.size
        setNumber(headers, at + HEADER.name, envelope + ENVELOPE.name)
        setNumber(headers, at + HEADER.iov, this.#iovs.address + iov * IOV.size)
        setNumber(headers, at + HEADER.iovLength, 1)
        setNumber(headers, at + HEADER.control, envelope + ENVELOPE.control)
        setNumber(this.#iovs, iov * IOV.size + IOV.base, this.#data.address + i * MAX_DATA)
        setNumber(this.#iovs, iov * IOV.size + IOV.length, length)
      }
    }
  }

  /**
   * Receives without waiting.
   * @returns the number of datagrams, or the negative errno
   */
  receive(fd: number): number {
    const { view } = this.#incoming
    for (let i = 0; i < this.#used; i++) {
      // The kernel has replaced these lengths by the received ones.
      view.setUint32(i * HEADER.size + HEADER.nameLength, ENVELOPE.nameSize, true)
      view.setUint32(i * HEADER.size + HEADER.controlLength, ENVELOPE.controlSize, true)
      // The kernel writes less for an IPv4 sender, and nothing for a socket without local addresses: bytes of an earlier datagram would stay.
      this.#envelopes.bytes.fill(
        0,
        i * ENVELOPE.size + SIZE_OF_SOCKADDR_IN,
        (i + 1) * ENVELOPE.size,
      )
    }
    const count = this.#syscalls.receiveMessages(fd, this.#incoming.address, COUNT, MSG.DONTWAIT)
    this.#used = Math.max(count, 0)
    return count
  }

  /** Number of consecutive datagrams, from `first` on, with the same sender and local address. @param count of received datagrams */
  runLength(first: number, count: number): number {
    let next = first + 1
    while (next < count && this.#haveSameEnvelope(first, next)) next++
    return next - first
  }

  /** Bytes of `count` datagrams from `first` on. */
  dataLength(first: number, count: number): number {
    let length = 0
    for (let place = first; place < first + count; place++) length += this.#dataLength(place)
    return length
  }

  /**
   * Identifies the sender and, if it was received, the address that the sender asked. The interface is no part of it: a client whose path
   * changes stays the same client.
   */
  key(place: number): string {
    const { bytes } = this.#envelopes
    const at = place * ENVELOPE.size
    const sender = bytes.toString('latin1', at, at + ENVELOPE.nameSize)
    const info = this.#pktinfo(place)
    if (!info) return sender
    const asked = at + ENVELOPE.control + CONTROL.data + info.asked
    return sender + bytes.toString('latin1', asked, asked + info.ipSize)
  }

  /** The kind of the control message of a datagram; undefined for none. */
  #pktinfo(place: number): (typeof PKTINFO)[keyof typeof PKTINFO] | undefined {
    if (this.#controlLength(place) === 0) return undefined
    const level = this.#envelopes.view.getUint32(
      place * ENVELOPE.size + ENVELOPE.control + CONTROL.level,
      true,
    )
    return level === PKTINFO.ipv4.level ? PKTINFO.ipv4 : PKTINFO.ipv6
  }

  #controlLength(place: number): number {
    return this.#incoming.view.getUint32(place * HEADER.size + HEADER.controlLength, true)
  }

  /** The client's address of a datagram. */
  sender(place: number): SocketAddress | undefined {
    const at = place * ENVELOPE.size + ENVELOPE.name
    return decodeSocketAddress(this.#envelopes.bytes.subarray(at, at + ENVELOPE.nameSize))
  }

  /** The local address that the sender of a datagram has asked; undefined on a socket with an address of its own. */
  asked(place: number): string | undefined {
    const info = this.#pktinfo(place)
    if (!info) return undefined
    const at = place * ENVELOPE.size + ENVELOPE.control + CONTROL.data + info.asked
    return formatIp(this.#envelopes.bytes.subarray(at, at + info.ipSize))
  }

  /** Copies the envelope of a datagram, for replies. */
  envelope(place: number): Envelope {
    const copy = allocate(ENVELOPE.size)
    this.#envelopes.bytes.copy(copy.bytes, 0, place * ENVELOPE.size, (place + 1) * ENVELOPE.size)
    const controlLength = this.#controlLength(place)
    const info = this.#pktinfo(place)
    if (info) {
      const data = ENVELOPE.control + CONTROL.data
      const start = copy.view.getUint16(data + info.asked)
      const isLinkLocal = info === PKTINFO.ipv6 && (start & LINK_LOCAL.mask) === LINK_LOCAL.bytes
      // The routing table chooses the interface of a reply, which may be another one. But a link-local source means something only there.
      if (!isLinkLocal) copy.view.setUint32(data + info.interface, 0, true)
    }
    const nameLength = this.#incoming.view.getUint32(place * HEADER.size + HEADER.nameLength, true)
    return { bytes: copy.bytes, address: copy.address, nameLength, controlLength }
  }

  /**
   * Sends `count` datagrams from `first` on to the address that the socket is connected to.
   * @param retries how often a datagram is sent again if it met the refusal of an earlier one
   * @param prefix before the data of each
   * @returns how many were sent or failed; the others have to wait until the socket is writable
   */
  forward(
    fd: number,
    first: number,
    count: number,
    retries: number,
    prefix: Buffer = NOTHING,
  ): number {
    return this.#send(fd, first, count, retries, undefined, prefix)
  }

  /**
   * Sends datagrams as a reply.
   * @param envelope of the datagram that is replied to; changed if replies can't come from the address that was asked
   * @returns how many were sent or failed; the others have to wait until the socket is writable
   */
  reply(fd: number, first: number, count: number, envelope: Envelope): number {
    return this.#send(fd, first, count, 0, envelope)
  }

  /** A copy of a datagram's data, valid after the next `receive`. */
  copy(place: number): Buffer {
    const at = place * MAX_DATA
    return Buffer.from(this.#data.bytes.subarray(at, at + this.#dataLength(place)))
  }

  /** Puts copies back into places from 0 on, to send them. @param copies at most as many as a `receive` returns */
  load(copies: readonly Buffer[]): void {
    copies.forEach((data, place) => {
      data.copy(this.#data.bytes, place * MAX_DATA)
      this.#incoming.view.setUint32(place * HEADER.size + HEADER.received, data.length, true)
    })
  }

  /** A datagram that can't be sent is dropped. The others are still sent. */
  #send(
    fd: number,
    first: number,
    count: number,
    retries: number,
    envelope: Envelope | undefined,
    prefix: Buffer = NOTHING,
  ): number {
    const end = first + count
    this.#address(first, end, envelope, prefix)
    let left = retries
    let source = 0
    for (let place = first; place < end;) {
      const headers = this.#outgoing.address + place * HEADER.size
      const result = this.#syscalls.sendMessages(fd, headers, end - place, MSG.DONTWAIT)
      if (result === -ERRNO.EAGAIN) {
        if (envelope && source > 0) envelope.controlLength = source
        return place - first
      }
      // The kernel reports the refusal of an earlier datagram, and has not sent this one, see udp(7).
      if (result === -ERRNO.ECONNREFUSED && left-- > 0) continue
      if (envelope && envelope.controlLength > 0 && SOURCE_REFUSALS.includes(result)) {
        source = envelope.controlLength
        envelope.controlLength = 0
        this.#address(place, end, envelope, prefix)
        continue
      }
      // A send that fails without the source too did not fail because of the source.
      if (envelope && result < 0 && source > 0) envelope.controlLength = source
      source = 0
      place += Math.max(1, result)
      left = retries
    }
    return count
  }

  /** Writes the headers of outgoing datagrams. */
  #address(first: number, end: number, envelope: Envelope | undefined, prefix: Buffer): void {
    const { view } = this.#outgoing
    const prefixAddress = prefix.length > 0 ? requireFfi().addressOf(prefix) : 0
    const vectors = prefix.length > 0 ? 2 : 1
    const { address, nameLength, controlLength } = envelope ?? CONNECTED
    for (let place = first; place < end; place++) {
      const at = place * HEADER.size
      setNumber(this.#outgoing, at + HEADER.name, address + ENVELOPE.name)
      view.setUint32(at + HEADER.nameLength, nameLength, true)
      setNumber(this.#outgoing, at + HEADER.control, address + ENVELOPE.control)
      view.setUint32(at + HEADER.controlLength, controlLength, true)
      const iov = dataIov(place) * IOV.size
      setNumber(this.#iovs, iov + IOV.length, this.#dataLength(place))
      if (this.#vectors[place] !== vectors) {
        this.#vectors[place] = vectors
        const firstVector = this.#iovs.address + iov - (vectors - 1) * IOV.size
        setNumber(this.#outgoing, at + HEADER.iovLength, vectors)
        setNumber(this.#outgoing, at + HEADER.iov, firstVector)
      }
      if (prefix.length === 0) continue
      setNumber(this.#iovs, iov - IOV.size + IOV.base, prefixAddress)
      setNumber(this.#iovs, iov - IOV.size + IOV.length, prefix.length)
    }
  }

  #dataLength(place: number): number {
    return this.#incoming.view.getUint32(place * HEADER.size + HEADER.received, true)
  }

  #haveSameEnvelope(one: number, other: number): boolean {
    const { view } = this.#envelopes
    const distance = (other - one) * ENVELOPE.size
    const end = (one + 1) * ENVELOPE.size
    for (let at = one * ENVELOPE.size; at < end; at += 4) {
      if (view.getUint32(at, true) !== view.getUint32(at + distance, true)) return false
    }
    return true
  }
}

/** The I/O vector of an outgoing message's data. The one before it is for the prefix. */
function dataIov(place: number): number {
  return COUNT + 2 * place + 1
}

function allocate(size: number): Memory {
  // The large buffer is not filled with zeros, so the system allocates only the pages that are used.
  const bytes = size > MAX_DATA ? Buffer.allocUnsafeSlow(size) : Buffer.alloc(size)
  const view = new DataView(bytes.buffer, bytes.byteOffset, size)
  return { bytes, view, address: requireFfi().addressOf(bytes) }
}

/** Writes an address or another 64-bit number. JavaScript's numbers are exact up to 53 bits, and addresses have 48. */
function setNumber({ view }: Memory, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}
