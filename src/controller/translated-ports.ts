import { processContainer } from '../linux/proc/process.js'
import { readDefaultRoute } from '../linux/proc/default-route.js'
import { forwardsPackets } from '../linux/proc/forwarding.js'
import type { TranslatedPort } from '../linux/netfilter/translated-port.js'
import { isIpv6, isLoopback } from '../linux/sockets/ip-address.js'
import { interfaceFinder, isOwnAddress } from '../linux/sockets/own-addresses.js'
import type { TargetState } from '../docker/target-backends.js'
import type { Containers } from '../docker/containers.js'
import { formatHostPort, type HostPort } from '../ports/host-port.js'

/** A port on this host, and the container port behind it. */
type ForwardedPort = HostPort & { readonly containerPort: number }

/**
 * The ports of a publication that the kernel can translate. A proxy alone serves the others: on loopback there are no clients from outside,
 * and the kernel does not translate between IPv4 and IPv6.
 * @param ips addresses of the containers
 */
export function translatedPorts(
  ports: readonly ForwardedPort[],
  ips: readonly string[],
): TranslatedPort[] {
  return ports.flatMap(({ protocol, ip, port, containerPort }) => {
    // netfilter's table has no rule for SCTP, which few kernels have.
    const isProxied = isLoopback(ip) || protocol === 'sctp'
    const containerIps = isProxied ? [] : ips.filter((each) => isIpv6(each) === isIpv6(ip))
    return containerIps.length > 0 ? [{ protocol, ip, port, containerIps, containerPort }] : []
  })
}

/** Why the kernel can translate none of these ports, one clause; undefined if it can. */
export function whyNotTranslated(
  ports: readonly ForwardedPort[],
  ips: readonly string[],
): string | undefined {
  const own = ips.find(isOwnAddress)
  if (own !== undefined) return `${own} is an address of this host, and not of a container`
  const [port] = ports
  if (port && ports.every(({ ip }) => isLoopback(ip))) {
    return `clients of ${formatHostPort(port)} are on this host, and a proxy serves them`
  }
  if (port && ports.every(({ protocol }) => protocol === 'sctp')) {
    return 'SCTP goes through a proxy only'
  }
  const [first] = ips
  if (first === undefined) return undefined
  const distant = ips.find((ip) => !isBehindBridge(ip))
  if (distant !== undefined) {
    return `${distant} is not in a network of containers on this host, so its replies would not come back`
  }
  const translated = translatedPorts(ports, ips)
  if (translated.length === 0) {
    return `the kernel does not translate between IPv4 and IPv6, and the container has the address ${first}`
  }
  if (translated.some(({ ip }) => !isIpv6(ip)) && !forwardsPackets('ipv4')) {
    return 'this host forwards no packets: "sysctl net.ipv4.ip_forward=1" changes that'
  }
  if (translated.every(({ ip }) => isIpv6(ip)) && !forwardsPackets('ipv6')) {
    return 'this host forwards no packets of IPv6: "sysctl net.ipv6.conf.all.forwarding=1" changes that'
  }
  return undefined
}

/** Whether an address is in a network of this host other than the one that leads to all others. */
export function isBehindBridge(ip: string): boolean {
  const name = interfaceFinder()(ip)
  return name !== undefined && name !== readDefaultRoute(process.pid)?.interface
}

/** Why replies of a container would not come back, one clause; undefined if they do. */
export function whyRepliesAreLost(
  { backends }: TargetState,
  { networks }: Pick<Containers, 'networks'>,
): string | undefined {
  for (const { ip, network: name, container } of backends) {
    const own = container.networks.find((each) => each.name === name)
    if (own && networks.get(own.id)?.isInternal) {
      return `the network ${name} is internal: replies of ${container.name} do not leave it`
    }
    const { pid, id } = container
    if (!own?.gateway || isIpv6(ip) || container.networks.length < 2 || pid === undefined) continue
    // In another process namespace, the number belongs to some other process.
    const gateway = processContainer(pid) === id ? readDefaultRoute(pid)?.gateway : undefined
    if (gateway === undefined || gateway === own.gateway) continue
    const other = container.networks.find((each) => each.gateway === gateway)?.name
    const advice = other === undefined ? '' : `; --network ${other} works`
    return `replies of ${container.name} leave by another network than ${name}${advice}`
  }
  return undefined
}
