import type { SocketAddress } from '../linux/sockets/socket-address.js'

/*
 * The vocabulary of ports, used by every folder above linux/.
 */

const PROTOCOLS = ['tcp', 'udp', 'sctp'] as const
export type Protocol = (typeof PROTOCOLS)[number]

export function isProtocol(text: string): text is Protocol {
  return PROTOCOLS.some((protocol) => protocol === text)
}

/** A port on an address of this host. Requests, claims, bound, published and saved ports are all built on it. */
export interface HostPort extends SocketAddress {
  readonly protocol: Protocol
}

/** The highest port number of TCP, UDP and SCTP. */
export const MAX_PORT = 65_535

/** Whether a number is a port, 0 included. */
export function isPort(port: number): boolean {
  return port >= 0 && port <= MAX_PORT
}

/** `127.0.0.1:80` or `[::1]:80`, as Go's net.JoinHostPort writes it. */
export function joinHostPort(ip: string, port: number): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`
}

/** `0.0.0.0:8080/tcp` or `[::]:8080/tcp`. */
export function formatHostPort({ protocol, ip, port }: HostPort): string {
  return `${joinHostPort(ip, port)}/${protocol}`
}
