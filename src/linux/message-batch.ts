import { requireCalls } from './calls.js'
import { ERRNO, IP_PKTINFO, IPPROTO, IPV6_PKTINFO, MSG } from './constants.js'
import { requireFfi } from './ffi.js'
import { SIZE_OF_SOCKADDR_IN, SIZE_OF_SOCKADDR_IN6 } from './socket-address.js'

/**
 * struct mmsghdr of recvmmsg(2), which is struct msghdr of recvmsg(2) and a length; and struct iovec. Offsets and sizes are
 * those of processors of 64 bits, whose lowest byte comes first.
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
const IOV = { base: 0, length: 8, size: 16 } as const

/**
 * struct cmsghdr of cmsg(3) and its data: struct in_pktinfo of ip(7), which is the interface, the local address and the
 * destination; or struct in6_pktinfo of ipv6(7), which is the destination and the interface.
 */
const CONTROL = { length: 0, level: 8, type: 12, data: 16 } as const
const PKTINFO = {
  ipv4: { level: IPPROTO.IP, type: IP_PKTINFO, size: 12, interface: 0 },
  ipv6: { level: IPPROTO.IPV6, type: IPV6_PKTINFO, size: 20, interface: 16 },
} as const

/** Where a datagram came from and went to: struct sockaddr, and the control message with room for either kind. */
const ENVELOPE = {
  name: 0,
  nameSize: SIZE_OF_SOCKADDR_IN6,
  control: 32,
  controlSize: 40,
  size: 72,
} as const

/** Datagrams in one call. */
const COUNT = 32
/** The most that a datagram holds, bytes. */
const MAX_DATA = 65_536

/** Who sent a datagram and which local address it was sent to: where an answer goes, and comes from. */
export interface Envelope {
  /** Kept for its address. */
  readonly bytes: Buffer
  readonly address: number
  readonly nameLength: number
  readonly controlLength: number
}

/** Memory that the kernel reads and writes. */
interface Memory {
  readonly bytes: Buffer
  readonly view: DataView
  readonly address: number
}

/**
 * Datagrams, received and sent many at a time. Those of one `receive` are there until the next; each has its place, from 0 on.
 */
export class MessageBatch {
  readonly #calls = requireCalls()
  readonly #data = allocate(COUNT * MAX_DATA)
  readonly #envelopes = allocate(COUNT * ENVELOPE.size)
  readonly #incoming = allocate(COUNT * HEADER.size)
  readonly #outgoing = allocate(COUNT * HEADER.size)
  /** Those of the incoming, then those of the outgoing. */
  readonly #iovs = allocate(2 * COUNT * IOV.size)
  /** Headers that the kernel may have written to. */
  #used = COUNT

  constructor() {
    for (let i = 0; i < COUNT; i++) {
      const envelope = this.#envelopes.address + i * ENVELOPE.size
      for (const [headers, iov, length] of [
        [this.#incoming, i, MAX_DATA],
        [this.#outgoing, COUNT + i, 0],
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
   * Receives what is there, and does not wait.
   * @returns how many datagrams, or the negative errno
   */
  receive(fd: number): number {
    const { view } = this.#incoming
    for (let i = 0; i < this.#used; i++) {
      // The kernel has put in the lengths of what it gave.
      view.setUint32(i * HEADER.size + HEADER.nameLength, ENVELOPE.nameSize, true)
      view.setUint32(i * HEADER.size + HEADER.controlLength, ENVELOPE.controlSize, true)
      // An address of IPv4 leaves the end of one of IPv6 that was there before, and a socket that is told no local address leaves another's.
      this.#envelopes.bytes.fill(
        0,
        i * ENVELOPE.size + SIZE_OF_SOCKADDR_IN,
        (i + 1) * ENVELOPE.size,
      )
    }
    const count = this.#calls.receiveMessages(fd, this.#incoming.address, COUNT, MSG.DONTWAIT)
    this.#used = Math.max(count, 0)
    return count
  }

  /** How many from `first` on, `first` among them, came the same way one after another; of `count` received. */
  runLength(first: number, count: number): number {
    let next = first + 1
    while (next < count && this.#haveSameEnvelope(first, next)) next++
    return next - first
  }

  /** Bytes that some of them hold. */
  dataLength(first: number, count: number): number {
    let length = 0
    for (let place = first; place < first + count; place++) length += this.#dataLength(place)
    return length
  }

  /** What tells its way from all others: the sender, and the local address where that is received. */
  key(place: number): string {
    const at = place * ENVELOPE.size
    // What was not received is empty.
    return this.#envelopes.bytes.toString('latin1', at, at + ENVELOPE.size)
  }

  /** A copy of its envelope, to answer it with. */
  envelope(place: number): Envelope {
    const copy = allocate(ENVELOPE.size)
    this.#envelopes.bytes.copy(copy.bytes, 0, place * ENVELOPE.size, (place + 1) * ENVELOPE.size)
    const controlLength = this.#incoming.view.getUint32(
      place * HEADER.size + HEADER.controlLength,
      true,
    )
    if (controlLength > 0) {
      const level = copy.view.getUint32(ENVELOPE.control + CONTROL.level, true)
      const { ipv4, ipv6 } = PKTINFO
      const info = level === ipv4.level ? ipv4 : ipv6
      // The interface is left to the routing table: an answer may go another way.
      copy.view.setUint32(ENVELOPE.control + CONTROL.data + info.interface, 0, true)
    }
    const nameLength = this.#incoming.view.getUint32(place * HEADER.size + HEADER.nameLength, true)
    return { bytes: copy.bytes, address: copy.address, nameLength, controlLength }
  }

  /**
   * Sends on some of them, from the place `first` on, to whom the socket is connected to.
   * @param retries how often one may be sent again that met the refusal of an earlier one
   */
  forward(fd: number, first: number, count: number, retries: number): void {
    this.#send(fd, first, count, retries, 0, 0, 0)
  }

  /** Sends on some of them in answer to one with this envelope. */
  answer(
    fd: number,
    first: number,
    count: number,
    { address, nameLength, controlLength }: Envelope,
  ): void {
    this.#send(fd, first, count, 0, address, nameLength, controlLength)
  }

  /** Datagrams that can't be sent are lost, as datagrams may be; others must not be lost with them. */
  #send(
    fd: number,
    first: number,
    count: number,
    retries: number,
    envelope: number,
    nameLength: number,
    controlLength: number,
  ): void {
    const { address, view } = this.#outgoing
    const end = first + count
    for (let place = first; place < end; place++) {
      const at = place * HEADER.size
      setNumber(this.#outgoing, at + HEADER.name, envelope + ENVELOPE.name)
      view.setUint32(at + HEADER.nameLength, nameLength, true)
      setNumber(this.#outgoing, at + HEADER.control, envelope + ENVELOPE.control)
      view.setUint32(at + HEADER.controlLength, controlLength, true)
      setNumber(this.#iovs, (COUNT + place) * IOV.size + IOV.length, this.#dataLength(place))
    }
    let left = retries
    for (let place = first; place < end;) {
      const headers = address + place * HEADER.size
      const answer = this.#calls.sendMessages(fd, headers, end - place, MSG.DONTWAIT)
      if (answer === -ERRNO.EAGAIN) return
      // The kernel tells of the refusal of an earlier datagram, and has not sent this one, see udp(7).
      if (answer === -ERRNO.ECONNREFUSED && left-- > 0) continue
      place += Math.max(1, answer)
      left = retries
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

function allocate(size: number): Memory {
  // Not filled: of the data, which is large, the system gives only what is used.
  const bytes = size > MAX_DATA ? Buffer.allocUnsafeSlow(size) : Buffer.alloc(size)
  const view = new DataView(bytes.buffer, bytes.byteOffset, size)
  return { bytes, view, address: requireFfi().addressOf(bytes) }
}

/** Puts in an address, or a number of 64 bits; JavaScript's numbers are exact up to 53, and addresses have 48. */
function setNumber({ view }: Memory, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true)
}
