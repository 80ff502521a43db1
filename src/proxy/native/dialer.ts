import { ERRNO, SOCK } from '../../linux/constants.js'
import { requireFfi } from '../../linux/ffi.js'
import { SOCKET_KINDS } from '../../linux/port-socket.js'
import { familyOf, socketAddress } from '../../linux/socket-address.js'
import { socketError } from '../../linux/system-error.js'
import { invalidArgument } from '../listen-error.js'
import { backendAddressOf, isPort, type PublishedPort } from '../published-port.js'
import { setConnectionOptions } from './connection-options.js'
import type { Kernel } from './kernel.js'

/**
 * Starts a connection to the backend, and returns its socket.
 * @throws SystemError when that fails at once
 */
export type Dial = () => number

/** How to reach the backend of a port. */
export function dialer({ calls }: Kernel, port: PublishedPort): Dial {
  const ip = backendAddressOf(port)
  const family = familyOf(ip)
  const { type, number } = SOCKET_KINDS[port.protocol]
  // Whatever the flags said, the proxy lives: a port that can't be is refused connection by connection.
  const address = isPort(port.containerPort) ? socketAddress(ip, port.containerPort) : undefined
  const location = address && requireFfi().addressOf(address)

  return () => {
    if (!address || location === undefined) throw invalidArgument()
    const fd = calls.socket(family, type | SOCK.NONBLOCK | SOCK.CLOEXEC, number)
    if (fd < 0) throw socketError(-fd)
    setConnectionOptions(calls, fd, port.protocol)
    const answer = calls.connect(fd, location, address.length)
    if (answer === 0 || answer === -ERRNO.EINPROGRESS) return fd
    calls.close(fd)
    throw socketError(-answer)
  }
}
