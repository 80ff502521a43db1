import { networkInterfaces } from 'node:os'
import { ipBytes, isIpv6, isLoopback, networkOf } from './ip-address.js'

/** Whether an address belongs to this host. All of 127.0.0.0/8 does, although no interface lists it. */
export function isOwnAddress(ip: string): boolean {
  if (isLoopback(ip)) return true
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === ip),
  )
}

/** All addresses of this host's interfaces. */
export function ownAddresses(): Set<string> {
  return new Set(
    Object.values(networkInterfaces()).flatMap(
      (addresses) => addresses?.map(({ address }) => address) ?? [],
    ),
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

/** Finds the interface whose network contains an address: of several the one with the smallest network, as the kernel does. */
export function interfaceFinder(): (ip: string) => string | undefined {
  const networks = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    (addresses ?? []).flatMap(({ address, cidr }) => {
      const bits = Number(cidr?.split('/')[1])
      return Number.isNaN(bits) ? [] : [{ name, bits, network: networkOf(address, bits) }]
    }),
  )
  networks.sort((a, b) => b.bits - a.bits)
  return (ip) => networks.find(({ bits, network }) => network === networkOf(ip, bits))?.name
}
