import { ClientNetworks } from './client-networks.js'
import { ConnectionRate } from './connection-rate.js'
import { NetworkMembers } from './network-members.js'
import type { PortOptions } from './port-options.js'

/** Who may connect to a port, and how many. A member is an open connection or a UDP flow. */
export class Admission<Member> {
  #options!: PortOptions
  /** Undefined if all clients are allowed. */
  #networks: ClientNetworks | undefined
  /** Undefined if the members of networks have no limit. */
  #members: NetworkMembers<Member> | undefined
  #rate!: ConnectionRate

  constructor(options: PortOptions) {
    this.follow(options)
  }

  /** Follows other options from now on. Members that count already still do. */
  follow(options: PortOptions): void {
    const { allow, deny, maxConnectionRate, maxConnectionsPerNetwork: perNetwork } = options
    this.#options = options
    this.#networks = ClientNetworks.of(allow, deny)
    this.#members = perNetwork && new NetworkMembers(perNetwork, this.#members)
    this.#rate = new ConnectionRate(maxConnectionRate)
  }

  /** Whether the address of a client counts. Otherwise it need not be read. */
  get needsAddress(): boolean {
    return this.#networks !== undefined || this.countsMembers
  }

  /** Whether members are counted by network. */
  get countsMembers(): boolean {
    return this.#members !== undefined
  }

  /** Whether clients wait in the backlog while the port is full, and are not refused. */
  get letsWait(): boolean {
    return this.#options.whenFull === 'wait'
  }

  /** @param ip of the client */
  allows(ip: string): boolean {
    return this.#networks?.allows(ip) ?? true
  }

  /** Whether there are as many as allowed. @param active members */
  isFull(active: number): boolean {
    return active >= this.#options.maxConnections
  }

  /** The members of a client's network, if it has as many as it may have. @param ip of the client */
  fullNetwork(ip: string): ReadonlySet<Member> | undefined {
    return this.#members?.fullNetwork(ip)
  }

  /** Time until one more may come, milliseconds; 0 for now. */
  get waitMs(): number {
    return this.#rate.waitMs
  }

  /** A client was admitted. @param member counts for its network; undefined if `countsMembers` was false */
  admitted(ip: string, member: Member | undefined): void {
    this.#rate.count()
    if (member) this.#members?.add(ip, member)
  }

  /** A member has ended. */
  left(member: Member): void {
    this.#members?.delete(member)
  }
}
