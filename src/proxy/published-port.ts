const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export function isProtocol(text: string): text is Protocol {
  return PROTOCOLS.some((protocol) => protocol === text)
}

/**
 * One published port: what a proxy listens on and where it sends what arrives.
 * An empty IP stands for 'any' on the host side and for loopback on the container's,
 * as an empty `net.IP` does in the original.
 */
export interface PublishedPort {
  readonly protocol: Protocol
  readonly hostIp: string
  readonly hostPort: number
  readonly containerIp: string
  readonly containerPort: number
  /** A socket the parent has bound, and that listens already but for UDP; hostIp and hostPort are then only names. */
  readonly listenFd?: number
}

export const MAX_PORT = 65_535

export function isPort(port: number): boolean {
  return port >= 0 && port <= MAX_PORT
}

/** Whether anybody can be reached there; whatever the flags said, the proxy lives. */
export function hasBackend({ containerPort }: PublishedPort): boolean {
  return isPort(containerPort) && containerPort !== 0
}

/** Where its proxy listens. */
export function hostAddressOf({ hostIp }: PublishedPort): string {
  return hostIp === '' ? '::' : hostIp
}

/** Where its backend is. */
export function backendAddressOf({ containerIp }: PublishedPort): string {
  return containerIp === '' ? '127.0.0.1' : containerIp
}

/** `127.0.0.1:80` or `[::1]:80`, as Go's net.JoinHostPort writes it. */
export function joinHostPort(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}

/** From where to where, as the log tells it: `tcp/0.0.0.0:8080 for tcp/172.17.0.2:80`. */
export function routeOf(port: PublishedPort, listening: { ip: string; port: number }): string {
  const host = joinHostPort(listening.ip, listening.port)
  const backend = joinHostPort(port.containerIp, port.containerPort)
  return `${port.protocol}/${host} for ${port.protocol}/${backend}`
}

/** The network's name in error texts: `tcp4` for an IPv4 address, `tcp6` for everything else. */
export function networkName(protocol: Protocol, ip: string): string {
  return protocol + (ip.includes('.') && !ip.includes(':') ? '4' : '6')
}
