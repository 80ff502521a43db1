import { isIpv6, isWildcard } from '../linux/sockets/ip-address.js'
import { isOwnAddress } from '../linux/sockets/own-addresses.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { joinHostPort, type Protocol } from '../ports/host-port.js'
import { Backend } from './backend.js'
import { ListenError } from './engine.js'

/** Whether a socket that listens on one address receives what is sent to another one. */
export function receives(listening: SocketAddress, { ip, port }: SocketAddress): boolean {
  if (port === 0 || port !== listening.port) return false
  if (ip === listening.ip) return true
  const isSameFamily = isIpv6(ip) === isIpv6(listening.ip)
  return isSameFamily && isWildcard(listening.ip) && isOwnAddress(ip)
}

/**
 * Refuses a port whose backend is its own listener: each connection would open another one, without end.
 * @param listening the actual address
 * @throws ListenError `ELOOP`
 */
export function refuseLoop(
  protocol: Protocol,
  listening: SocketAddress,
  container: SocketAddress,
): void {
  const { dialAddress } = new Backend(container)
  if (!dialAddress || !receives(listening, dialAddress)) return
  const [from, to] = [listening, dialAddress].map(({ ip, port }) => joinHostPort(ip, port))
  throw new ListenError(
    'ELOOP',
    `can't forward ${protocol}/${from} to ${protocol}/${to}: that is this proxy itself; choose another host port or container port`,
  )
}
