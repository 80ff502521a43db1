import { isIpv6, isWildcard } from '../linux/sockets/ip-address.js'
import { isOwnAddress } from '../linux/sockets/own-addresses.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { joinHostPort, type Protocol } from '../ports/host-port.js'
import { Backend } from './backend.js'
import { ListenError } from './engine.js'
import type { PublishedPort } from './published-port.js'

/** Whether a socket that listens on one address receives what is sent to another one. */
export function receives(listening: SocketAddress, { ip, port }: SocketAddress): boolean {
  if (port === 0 || port !== listening.port) return false
  if (ip === listening.ip) return true
  const isSameFamily = isIpv6(ip) === isIpv6(listening.ip)
  return isSameFamily && isWildcard(listening.ip) && isOwnAddress(ip)
}

/** @returns why traffic can't be forwarded: the backend is the listening socket itself; undefined if it is another one */
export function loopMessage(
  protocol: Protocol,
  listening: SocketAddress,
  container: SocketAddress,
): string | undefined {
  const { dialAddress } = new Backend(container)
  if (!dialAddress || !receives(listening, dialAddress)) return undefined
  const [from, to] = [listening, dialAddress].map(({ ip, port }) => joinHostPort(ip, port))
  return `can't forward ${protocol}/${from} to ${protocol}/${to}: that is this proxy itself; choose another host port or container port`
}

/**
 * Closes the listening socket of a port whose backend is that socket: each connection would open another one, without end.
 * @throws ListenError `ELOOP`
 */
export function refuseLoop(
  { protocol, container }: PublishedPort,
  listening: { readonly address: SocketAddress; close(): void },
): void {
  const message = loopMessage(protocol, listening.address, container)
  if (message === undefined) return
  listening.close()
  throw new ListenError('ELOOP', message)
}
