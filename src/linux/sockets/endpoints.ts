import { requireSyscalls } from '../ffi/syscalls.js'
import { SIZE_OF_INT } from '../ffi/constants.js'
import { requireFfi } from '../ffi/ffi.js'
import { check } from '../ffi/system-error.js'
import { decodeSocketAddress, SIZE_OF_SOCKADDR_IN6, type SocketAddress } from './socket-address.js'

/**
 * The address a socket is bound to, see getsockname(2).
 * @returns undefined for a family other than IPv4 and IPv6
 * @throws SystemError `EBADF`, `ENOTSOCK`
 */
export function localAddress(fd: number): SocketAddress | undefined {
  return readAddress('getsockname', (address, length) =>
    requireSyscalls().socketName(fd, address, length),
  )
}

/**
 * The address a socket is connected to, see getpeername(2).
 * @returns undefined for a family other than IPv4 and IPv6
 * @throws SystemError `ENOTCONN` if the other end is gone
 */
export function peerAddress(fd: number): SocketAddress | undefined {
  return readAddress('getpeername', (address, length) =>
    requireSyscalls().peerName(fd, address, length),
  )
}

function readAddress(
  name: string,
  call: (address: number, length: number) => number,
): SocketAddress | undefined {
  const { addressOf } = requireFfi()
  const address = Buffer.alloc(SIZE_OF_SOCKADDR_IN6)
  const length = new Int32Array(new ArrayBuffer(SIZE_OF_INT)).fill(address.length)
  check(name, call(addressOf(address), addressOf(length)))
  return decodeSocketAddress(address)
}
