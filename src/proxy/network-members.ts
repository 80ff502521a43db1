import { isIpv6, networkOf, parseIp } from '../linux/sockets/ip-address.js'
import type { NetworkLimit } from './option-values.js'

/** The connections or flows of each network of clients. */
export class NetworkMembers<Member> {
  readonly #networks = new Map<string, Set<Member>>()
  readonly #addresses = new Map<Member, string>()

  /** @param before members that count from the start */
  constructor(
    private readonly limit: NetworkLimit,
    before?: NetworkMembers<Member>,
  ) {
    for (const [member, ip] of before ? before.#addresses : []) this.add(ip, member)
  }

  /** The members of a client's network if the network is full. @param ip of the client */
  fullNetwork(ip: string): ReadonlySet<Member> | undefined {
    const members = this.#networks.get(this.#networkOf(ip))
    return members && members.size >= this.limit.connections ? members : undefined
  }

  /** The members of a network with more members than allowed. */
  crowdedNetwork(): ReadonlySet<Member> | undefined {
    for (const members of this.#networks.values()) {
      if (members.size > this.limit.connections) return members
    }
    return undefined
  }

  /** @param ip of the member's client */
  add(ip: string, member: Member): void {
    const network = this.#networkOf(ip)
    const members = this.#networks.get(network)
    if (members) members.add(member)
    else this.#networks.set(network, new Set([member]))
    this.#addresses.set(member, ip)
  }

  /** A member has ended. One that does not count is ignored. */
  delete(member: Member): void {
    const ip = this.#addresses.get(member)
    if (ip === undefined) return
    this.#addresses.delete(member)
    const network = this.#networkOf(ip)
    const members = this.#networks.get(network)
    members?.delete(member)
    if (members?.size === 0) this.#networks.delete(network)
  }

  /** Identifies a network. An unknown address is a network of its own. */
  #networkOf(ip: string): string {
    const known = parseIp(ip)
    if (known === undefined) return ip
    return networkOf(known, isIpv6(known) ? this.limit.ipv6Bits : this.limit.ipv4Bits)
  }
}
