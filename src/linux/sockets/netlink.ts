import { closeSync } from 'node:fs'
import { endianness } from 'node:os'
import { AF_NETLINK, NLM_F_REQUEST, NLMSG, SOCK } from '../ffi/constants.js'
import { requireCheckedSyscalls } from '../ffi/checked-syscalls.js'
import { requireFfi } from '../ffi/ffi.js'
import { requireSyscalls } from '../ffi/syscalls.js'
import { check } from '../ffi/system-error.js'

/*
 * Messages to and from the kernel, see netlink(7): a header, a body, and attributes, which may contain attributes. Numbers are in the
 * machine's byte order.
 */

/** Offsets in struct nlmsghdr, and its size, bytes. */
const HEADER = { type: 4, flags: 6, size: 16 }
/** Offset in struct sockaddr_nl, and its size, bytes. */
const NETLINK_ADDRESS = { groups: 8, size: 12 }
/** Size of struct nlattr; attributes are aligned to it. */
const ATTRIBUTE_HEADER = 4
/** An attribute's type without its flags, see linux/netlink.h, NLA_TYPE_MASK. */
const ATTRIBUTE_TYPE = 0x3fff
/** Bytes of one reply at most; the kernel sends less. */
const BLOCK_SIZE = 64 * 1024
let sharedBlock: Buffer | undefined

/** An attribute of a message. */
interface Attribute {
  readonly type: number
  readonly value: Buffer
}

/** A message to the kernel. */
export interface NetlinkMessage {
  readonly type: number
  /** NLM_F_REQUEST is added. */
  readonly flags: number
  readonly body: Buffer
}

/** A socket to a part of the kernel. Its owner closes it. */
export class NetlinkSocket {
  readonly fd: number

  /**
   * @param protocol see netlink(7)
   * @param flags of socket(2)
   * @throws SystemError; Error if there is no FFI on this platform
   */
  constructor(protocol: number, flags = 0) {
    const type = SOCK.DGRAM | SOCK.CLOEXEC | flags
    this.fd = check('socket', requireSyscalls().socket(AF_NETLINK, type, protocol))
  }

  /** Sends a request. @throws SystemError */
  send(type: number, flags: number, body: Buffer): void {
    this.sendAll([{ type, flags, body }])
  }

  /** Sends several requests at once. @throws SystemError */
  sendAll(messages: readonly NetlinkMessage[]): void {
    const request = Buffer.concat(messages.map(encodeMessage))
    // A netlink socket that is not connected sends to the kernel.
    const address = requireFfi().addressOf(request)
    check('send', requireSyscalls().send(this.fd, address, request.length, 0))
  }

  /**
   * Receives a block of a reply.
   * @param take gets the body of each message, which is valid until the next call for any socket, and the message's type
   * @returns whether the reply is complete
   * @throws SystemError, also for an error that the kernel replies
   */
  receive(take: (body: Buffer, type: number) => void): boolean {
    const block = (sharedBlock ??= Buffer.alloc(BLOCK_SIZE))
    const address = requireFfi().addressOf(block)
    const length = check('recv', requireSyscalls().receive(this.fd, address, BLOCK_SIZE))
    for (let at = 0; at + HEADER.size <= length;) {
      const size = readU32(block, at)
      const type = readU16(block, at + HEADER.type)
      const body = block.subarray(at + HEADER.size, at + size)
      if (type === NLMSG.DONE) return true
      if (type === NLMSG.ERROR) check('netlink', readI32(body, 0))
      else take(body, type)
      if (size < HEADER.size) return true
      at += align(size)
    }
    return false
  }

  /** Subscribes to messages of groups, once. @throws SystemError */
  join(...groups: number[]): void {
    const address = Buffer.alloc(NETLINK_ADDRESS.size)
    writeU16(address, AF_NETLINK, 0)
    const mask = groups.reduce((bits, group) => bits | (1 << (group - 1)), 0)
    writeU32(address, mask, NETLINK_ADDRESS.groups)
    requireCheckedSyscalls().bind(this.fd, address)
  }

  close(): void {
    closeSync(this.fd)
  }
}

function encodeMessage({ type, flags, body }: NetlinkMessage): Buffer {
  const message = Buffer.alloc(align(HEADER.size + body.length))
  writeU32(message, HEADER.size + body.length, 0)
  writeU16(message, type, HEADER.type)
  writeU16(message, NLM_F_REQUEST | flags, HEADER.flags)
  body.copy(message, HEADER.size)
  return message
}

/** Encodes an attribute. */
export function encodeAttribute(type: number, value: Buffer): Buffer {
  const attribute = Buffer.alloc(align(ATTRIBUTE_HEADER + value.length))
  writeU16(attribute, ATTRIBUTE_HEADER + value.length, 0)
  writeU16(attribute, type, 2)
  value.copy(attribute, ATTRIBUTE_HEADER)
  return attribute
}

/** Reads the attributes of a message, or of an attribute. @param from their offset, bytes */
export function* attributes(message: Buffer, from = 0): Generator<Attribute> {
  for (let at = from; at + ATTRIBUTE_HEADER <= message.length;) {
    const size = readU16(message, at)
    if (size < ATTRIBUTE_HEADER) return
    const type = readU16(message, at + 2) & ATTRIBUTE_TYPE
    yield { type, value: message.subarray(at + ATTRIBUTE_HEADER, at + size) }
    at += align(size)
  }
}

function align(length: number): number {
  return Math.ceil(length / ATTRIBUTE_HEADER) * ATTRIBUTE_HEADER
}

const isLittle = endianness() === 'LE'

function readU16(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readUInt16LE(at) : buffer.readUInt16BE(at)
}

export function readU32(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readUInt32LE(at) : buffer.readUInt32BE(at)
}

/** A number beyond 2^53 loses its lowest bits. */
export function readU64(buffer: Buffer, at: number): number {
  return Number(isLittle ? buffer.readBigUInt64LE(at) : buffer.readBigUInt64BE(at))
}

function readI32(buffer: Buffer, at: number): number {
  return isLittle ? buffer.readInt32LE(at) : buffer.readInt32BE(at)
}

export function writeU16(buffer: Buffer, value: number, at: number): void {
  if (isLittle) buffer.writeUInt16LE(value, at)
  else buffer.writeUInt16BE(value, at)
}

export function writeU32(buffer: Buffer, value: number, at: number): void {
  if (isLittle) buffer.writeUInt32LE(value, at)
  else buffer.writeUInt32BE(value, at)
}
