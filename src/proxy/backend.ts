import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { isPort } from '../ports/host-port.js'

/** The number of further dials after the kernel has connected the socket to itself. */
export const MAX_REDIALS = 2

/** The address that the kernel dials for an unspecified one. */
const LOOPBACK = new Map([
  ['', '127.0.0.1'],
  ['0.0.0.0', '127.0.0.1'],
  ['::', '::1'],
])

/** Where a proxy forwards to. If the address changes while the port is published, the proxy gets another Backend. */
export class Backend {
  /** @param address of the container; an empty or unspecified IP stands for loopback, as in the original */
  constructor(readonly address: SocketAddress) {}

  /** The address to dial; undefined if its port is out of range. */
  get dialAddress(): SocketAddress | undefined {
    const { ip, port } = this.address
    return isPort(port) ? { ip: LOOPBACK.get(ip) ?? ip, port } : undefined
  }

  /** Whether a client can ever get through: flags may name a port that does not exist. */
  get isReachable(): boolean {
    return isPort(this.address.port) && this.address.port !== 0
  }
}
