import type { Container, ContainerNetwork } from './container.js'

/** What an engine tells about one of its networks. */
export interface EngineNetwork {
  readonly driver: string
  /** Made with `--internal`: Docker publishes no ports of its containers. */
  readonly isInternal: boolean
}

/** Networks by id, and by name. */
export type EngineNetworks = ReadonlyMap<string, EngineNetwork>

/** Where a container can be reached from this host, or why it can't. */
export type ContainerAddress =
  | { readonly ip: string; readonly network: string; readonly why?: undefined }
  | {
      readonly ip?: undefined
      /** One sentence without a full stop: the reason, and what would work. */ readonly why: string
    }

/** Drivers whose networks have a bridge on this host. */
export const BRIDGES: readonly string[] = ['bridge', 'nat']

/**
 * Chooses the address of a container that clients are forwarded to: in the network that was named, else the present one if it is still
 * reached, else in the first network, by name, that this host reaches. IPv4 comes first, because a proxy translates between the families
 * anyway.
 * @param wanted name of a network; undefined for any
 * @param present addresses that clients are forwarded to so far
 */
export function addressOf(
  container: Container,
  networks: EngineNetworks,
  wanted: string | undefined,
  present: readonly string[] = [],
): ContainerAddress {
  const { name, networkMode, networks: own } = container
  if (networkMode === 'host') {
    return {
      why: `${name} uses the host's network: its ports are the host's ports, and need no forwarding`,
    }
  }
  if (networkMode === 'none') {
    return {
      why: `${name} has no network: connect it to one with "docker network connect bridge ${name}"`,
    }
  }
  const known = own.map((network) => network.name)
  if (wanted !== undefined && !known.includes(wanted)) {
    return {
      why: `${name} is not in the network ${JSON.stringify(wanted)}: it is in ${known.join(', ') || 'none'}`,
    }
  }
  const candidates = own.filter((network) => wanted === undefined || network.name === wanted)
  const reachable = candidates.filter(
    (each) => whyUnreachable(each, networks, wanted) === undefined,
  )
  const addresses = reachable.flatMap(({ name: network, ip, ip6 }) => {
    const address = ip ?? ip6
    return address === undefined ? [] : { ip: address, network }
  })
  const address = addresses.find(({ ip }) => present.includes(ip)) ?? addresses[0]
  if (address) return address
  const [first] = candidates
  if (!first) {
    return {
      why: `${name} is in no network: connect it with "docker network connect bridge ${name}"`,
    }
  }
  const reason = whyUnreachable(first, networks, wanted)
  if (reason === undefined)
    return { why: `${name} has no address in the network ${first.name} yet` }
  if (wanted === undefined && networks.get(first.id)?.isInternal) {
    return {
      why: `the network ${first.name} of ${name} is internal: --network ${first.name} publishes its ports anyway`,
    }
  }
  return {
    why: `this host does not reach ${name}: ${reason}; connect it to a bridge network with "docker network connect bridge ${name}"`,
  }
}

/** Ports that the engine should publish, and does not although the container runs. It publishes none on internal networks. */
export function missingPorts(
  { networks: own, unpublished }: Container,
  networks: EngineNetworks,
): Container['unpublished'] {
  const publishes = own.some(({ id }) => {
    const network = networks.get(id)
    return network && BRIDGES.includes(network.driver) && !network.isInternal
  })
  return publishes ? unpublished : []
}

function whyUnreachable(
  { id, name }: ContainerNetwork,
  networks: EngineNetworks,
  wanted: string | undefined,
): string | undefined {
  const network = networks.get(id)
  if (!network) return undefined
  if (!BRIDGES.includes(network.driver)) {
    return `its network ${name} is of the kind ${network.driver}`
  }
  // The host reaches an internal network, but nobody expects its containers to be published, unless the network is named.
  if (network.isInternal && wanted === undefined) return `its network ${name} is internal`
  return undefined
}
