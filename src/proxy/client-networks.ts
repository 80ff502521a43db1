import { BlockList } from 'node:net'
import { isIpv6, parseIp } from '../linux/sockets/ip-address.js'

/** Bits of an address. */
const IPV4_BITS = 32
const IPV6_BITS = 128

/** A network in CIDR notation, taken apart. */
export interface Network {
  readonly ip: string
  /** Bits that all addresses of the network have in common. */
  readonly prefix: number
}

/**
 * Parses networks, separated by commas: `10.0.0.0/8,192.0.2.7,2001:db8::/32`. An address alone is a network of one.
 * @returns undefined if one of them is invalid, or there is none
 */
export function parseNetworks(text: string): readonly Network[] | undefined {
  const networks = text.split(',').map((part) => parseNetwork(part.trim()))
  return networks.includes(undefined) ? undefined : (networks as Network[])
}

function parseNetwork(text: string): Network | undefined {
  const [address = '', bits, ...more] = text.split('/')
  const ip = parseIp(address)
  if (ip === undefined || more.length > 0) return undefined
  // An IPv4-mapped address has become an IPv4 address, whose prefix would mean something else.
  if (bits !== undefined && isIpv6(address) !== isIpv6(ip)) return undefined
  const most = isIpv6(ip) ? IPV6_BITS : IPV4_BITS
  if (bits === undefined) return { ip, prefix: most }
  const prefix = /^\d{1,3}$/.test(bits) ? Number(bits) : NaN
  return prefix <= most ? { ip, prefix } : undefined
}

/** Decides whether a client may connect, by the address of the client. */
export class ClientNetworks {
  readonly #allowed: BlockList | undefined
  readonly #denied: BlockList

  /** The clients of some networks, and no others. @returns undefined for no network */
  static only(networks: readonly Network[]): ClientNetworks | undefined {
    return networks.length > 0 ? new ClientNetworks(networks, []) : undefined
  }

  /** @returns undefined if all clients may connect */
  static of(allow: readonly Network[], deny: readonly Network[]): ClientNetworks | undefined {
    return allow.length + deny.length > 0 ? new ClientNetworks(allow, deny) : undefined
  }

  /** @param allow networks of the clients that may connect; empty for all */
  private constructor(allow: readonly Network[], deny: readonly Network[]) {
    this.#allowed = allow.length > 0 ? listOf(allow) : undefined
    this.#denied = listOf(deny)
  }

  /** Whether an address is in the networks of `deny`. */
  denies(ip: string): boolean {
    const known = parseIp(ip)
    return known !== undefined && this.#denied.check(known, isIpv6(known) ? 'ipv6' : 'ipv4')
  }

  /** `deny` comes first. @param ip of the client; an unknown address is refused */
  allows(ip: string): boolean {
    const known = parseIp(ip)
    if (known === undefined) return false
    const family = isIpv6(known) ? 'ipv6' : 'ipv4'
    if (this.#denied.check(known, family)) return false
    return this.#allowed?.check(known, family) ?? true
  }
}

function listOf(networks: readonly Network[]): BlockList {
  const list = new BlockList()
  for (const { ip, prefix } of networks) list.addSubnet(ip, prefix, isIpv6(ip) ? 'ipv6' : 'ipv4')
  return list
}
