import { ClientNetworks } from './client-networks.js'
import { ConnectionRate } from './connection-rate.js'
import { NetworkMembers } from './network-members.js'
import type { PortOptions } from './port-options.js'

/** Decides which clients may connect to a port, and how many at a time. A member is an open connection or a UDP flow. */
export class Admission<Member> {
  #options: PortOptions | undefined
  /** Undefined if all clients are allowed. */
  #networks: ClientNetworks | undefined
  /** Undefined if the members of networks have no limit. */
  #members: NetworkMembers<Member> | undefined
  /** Undefined if the rate has no limit. */
  #rate: ConnectionRate | undefined

  constructor(options: PortOptions) {
    this.follow(options)
  }

  /** Follows other options from now on. Earlier members still count. */
  follow(options: PortOptions): void {
    const { allow, deny, maxConnectionRate, maxConnectionsPerNetwork: perNetwork } = options
    // A change of other options does not refill the rate.
    if (maxConnectionRate !== this.#options?.maxConnectionRate) {
      this.#rate = maxConnectionRate < Infinity ? new ConnectionRate(maxConnectionRate) : undefined
    }
    this.#options = options
    this.#networks = ClientNetworks.of(allow, deny)
    this.#members = perNetwork && new NetworkMembers(perNetwork, this.#members)
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
    return this.#options?.whenFull === 'wait'
  }

  /** Whether an address is in the networks of `deny`. */
  denies(ip: string): boolean {
    return this.#networks?.denies(ip) ?? false
  }

  /** @param ip of the client */
  allows(ip: string): boolean {
    return this.#networks?.allows(ip) ?? true
  }

  /** Whether there are as many as allowed. @param active members */
  isFull(active: number): boolean {
    return active >= (this.#options?.maxConnections ?? Infinity)
  }

  /** The members of a client's network if the network is full. @param ip of the client */
  fullNetwork(ip: string): ReadonlySet<Member> | undefined {
    return this.#members?.fullNetwork(ip)
  }

  /** The members of a network with more members than allowed, after the limit was lowered. */
  crowdedNetwork(): ReadonlySet<Member> | undefined {
    return this.#members?.crowdedNetwork()
  }

  /** Time until the next connection is allowed, milliseconds; 0 for now. */
  get waitMs(): number {
    return this.#rate?.waitMs ?? 0
  }

  /** Counts a connection that was accepted, or a new flow. */
  count(): void {
    this.#rate?.count()
  }

  /** Counts a member for its network. @param ip of its client */
  add(ip: string, member: Member): void {
    this.#members?.add(ip, member)
  }

  /** A member has ended. */
  left(member: Member): void {
    this.#members?.delete(member)
  }
}
