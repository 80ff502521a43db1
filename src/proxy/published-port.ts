import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { joinHostPort, type HostPort, type Protocol } from '../ports/host-port.js'

/**
 * One published port: where a proxy listens, and where it forwards to. An empty IP stands for all addresses on the host's side and for
 * loopback on the container's side, as an empty `net.IP` does in the original.
 */
export interface PublishedPort extends HostPort {
  readonly container: SocketAddress
  /** A bound socket that the parent hands over. Unless it is UDP, it already listens. `ip` and `port` are then only names. */
  readonly listenFd?: number
}

/** The address that a port's proxy binds. */
export function listenIp({ ip }: HostPort): string {
  return ip === '' ? '::' : ip
}

/** `tcp/0.0.0.0:8080 for tcp/172.17.0.2:80`, as log lines show it. @param listening the actual address */
export function formatRoute(
  { protocol, container }: PublishedPort,
  listening: SocketAddress,
): string {
  const host = joinHostPort(listening.ip, listening.port)
  return `${protocol}/${host} for ${protocol}/${joinHostPort(container.ip, container.port)}`
}

/** The network's name in error texts: `tcp4` for an IPv4 address, `tcp6` for all others. Source: Go's net package. */
export function networkName(protocol: Protocol, ip: string): string {
  return protocol + (ip.includes('.') && !ip.includes(':') ? '4' : '6')
}
