import { requireCalls } from './calls.js'
import { SIZE_OF_INT } from './constants.js'
import { requireFfi } from './ffi.js'
import { parseSocketAddress, SIZE_OF_SOCKADDR_IN6, type SocketName } from './socket-address.js'
import { check } from './system-error.js'

/**
 * Where a socket is bound; undefined for a family that is not IP's.
 * @throws SystemError `EBADF`, `ENOTSOCK`
 */
export function localAddress(fd: number): SocketName | undefined {
  return read('getsockname', (address, length) => requireCalls().socketName(fd, address, length))
}

/**
 * Whom a socket is connected to; undefined for a family that is not IP's.
 * @throws SystemError `ENOTCONN` when the other end is gone
 */
export function peerAddress(fd: number): SocketName | undefined {
  return read('getpeername', (address, length) => requireCalls().peerName(fd, address, length))
}

function read(
  name: string,
  call: (address: number, length: number) => number,
): SocketName | undefined {
  const { addressOf } = requireFfi()
  const address = Buffer.alloc(SIZE_OF_SOCKADDR_IN6)
  const length = new Int32Array(new ArrayBuffer(SIZE_OF_INT)).fill(address.length)
  check(name, call(addressOf(address), addressOf(length)))
  return parseSocketAddress(address)
}
