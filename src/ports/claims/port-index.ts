import type { HostPort, Protocol } from '../host-port.js'
import { portsOverlap } from './overlap.js'

/** Ports, indexed by protocol and number: there may be thousands. No two of them overlap. */
export class PortIndex<T extends HostPort> {
  readonly #byNumber: Readonly<Record<Protocol, Map<number, T[]>>> = {
    tcp: new Map(),
    udp: new Map(),
    sctp: new Map(),
  }

  add(port: T): void {
    const index = this.#byNumber[port.protocol]
    const others = index.get(port.port)
    if (others) others.push(port)
    else index.set(port.port, [port])
  }

  /** The port that overlaps with another one. */
  find(port: HostPort): T | undefined {
    return this.#byNumber[port.protocol].get(port.port)?.find((each) => portsOverlap(each, port))
  }

  /** May be called again. */
  delete(port: T): void {
    const index = this.#byNumber[port.protocol]
    const left = index.get(port.port)?.filter((each) => each !== port) ?? []
    if (left.length > 0) index.set(port.port, left)
    else index.delete(port.port)
  }
}
