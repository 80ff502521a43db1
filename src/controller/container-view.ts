import { containersOf, formatTarget } from '../docker/container-target.js'
import type { Containers } from '../docker/containers.js'
import { missingPorts } from '../docker/container-address.js'
import { resolveTarget, type TargetState } from '../docker/target-backends.js'
import type { Protocol } from '../ports/host-port.js'
import { lookUpTarget } from './requested-backend.js'
import type { SavedPublication } from './saved-publication.js'

/** A container or a compose service, and its ports, as clients see it. */
export interface ContainerView {
  name: string
  state: TargetState['state']
  /** Why no client gets through. */
  why?: string
  addresses: string[]
  ports: ContainerPortView[]
}

/** A port that the image exposes, or that is published. */
export interface ContainerPortView {
  protocol: Protocol
  port: number
  /** Whether the image or `--expose` names it. */
  isExposed: boolean
  published: PublishedAt[]
  /** Whether the engine should publish the port, and does not although the container runs. */
  isMissing: boolean
}

interface PublishedAt {
  hostIp: string
  hostPort: number
  /** The name of the publication; left out if the engine publishes the port itself. */
  publication?: string
}

/**
 * Describes a container.
 * @param publications of this controller
 * Rejects with Refusal if there is no such container, or no engine answers.
 */
export async function describeContainer(
  name: string,
  containers: Containers | undefined,
  publications: readonly SavedPublication[],
): Promise<ContainerView> {
  const { target, all } = await lookUpTarget(name, containers)
  const { state, why, backends } = resolveTarget({ target, keep: false }, all)
  const addresses = backends.map(({ ip }) => ip)
  const ports = new Map<string, ContainerPortView>()
  const portOf = (protocol: Protocol, port: number): ContainerPortView => {
    const key = `${port}/${protocol}`
    const known = ports.get(key) ?? {
      ...{ protocol, port, isExposed: false, isMissing: false },
      published: [],
    }
    ports.set(key, known)
    return known
  }
  const described = containersOf(target, all.all, false)
  for (const container of described) {
    const { exposed, published } = container
    for (const { protocol, port } of exposed) portOf(protocol, port).isExposed = true
    for (const { protocol, port } of missingPorts(container, all.networks))
      portOf(protocol, port).isMissing = true
    for (const { protocol, containerPort, ip, port } of published) {
      portOf(protocol, containerPort).published.push({ hostIp: ip, hostPort: port })
    }
  }
  for (const publication of publications) {
    const { follows, backends: forwardedTo } = publication
    // A container that is stopped has no address.
    const isOwn = follows
      ? containersOf(follows.target, all.all, follows.keep).some((each) => described.includes(each))
      : forwardedTo.some(({ ip }) => addresses.includes(ip))
    if (!isOwn) continue
    for (const { protocol, containerPort, ip, port } of publication.ports) {
      const own = { hostIp: ip, hostPort: port, publication: publication.name }
      portOf(protocol, containerPort).published.push(own)
    }
  }
  return {
    ...{ name: formatTarget(target), state, addresses },
    ...(why === undefined ? {} : { why }),
    ports: [...ports.values()].sort((a, b) => a.port - b.port),
  }
}
