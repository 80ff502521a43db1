import { networkInterfaces } from 'node:os'
import { ipBytes, isIpv6, isLoopback } from './ip-address.js'

/** Whether an address belongs to this host. All of 127.0.0.0/8 does, although no interface lists it. */
export function isOwnAddress(ip: string): boolean {
  if (isLoopback(ip)) return true
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === ip),
  )
}

/** Whether an IPv4 address is the broadcast address of a network that this host is in. */
export function isBroadcast(ip: string): boolean {
  if (isIpv6(ip)) return false
  const bytes = ipBytes(ip)
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ family, address, netmask }) => {
      // A network of one or two addresses has none, see RFC 3021.
      if (family !== 'IPv4' || /\.25[45]$/.test(netmask)) return false
      const [own, mask] = [ipBytes(address), ipBytes(netmask)]
      return bytes.every((byte, i) => byte === ((own[i] ?? 0) | (~(mask[i] ?? 0) & 255)))
    }),
  )
}

/** The interfaces whose networks contain one of these addresses. */
export function interfacesTowards(ips: readonly string[]): string[] {
  return Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    addresses?.some(({ cidr }) => ips.some((ip) => isInNetwork(ip, cidr))) ? [name] : [],
  )
}

/** @param cidr as `172.17.0.1/16` */
function isInNetwork(ip: string, cidr: string | null): boolean {
  const [network = '', bits] = cidr?.split('/') ?? []
  if (bits === undefined || isIpv6(network) !== isIpv6(ip)) return false
  const [a, b] = [ipBytes(network), ipBytes(ip)]
  return a.every((byte, i) => {
    const own = Math.min(8, Math.max(0, Number(bits) - 8 * i))
    const mask = 0xff & ~(0xff >> own)
    return (byte & mask) === ((b[i] ?? 0) & mask)
  })
}
