import { projectView, type Container, type EnginePort } from '../docker/container.js'
import type { Containers } from '../docker/containers.js'
import { isIpv6 } from '../linux/sockets/ip-address.js'
import { canBind } from '../linux/sockets/port-socket.js'
import type { ClaimResult, Claims } from '../ports/claims/claims.js'
import { portsOverlap } from '../ports/claims/overlap.js'
import type { Holder } from '../ports/holder.js'
import { joinHostPort, type HostPort } from '../ports/host-port.js'
import { Refusal } from '../ports/refusal.js'

/**
 * Claims beside an engine that may publish ports by rules of the firewall alone, without a process that holds them: the kernel would let us
 * bind such a port, but clients from outside would still reach the engine's container.
 */
export class EngineClaims implements Claims {
  /** What the engine publishes, by port number: there may be many ports and many containers. */
  #published: ReadonlyMap<number, readonly EnginePublication[]> = new Map()
  /** The containers of which `#published` was made. */
  #all: readonly Container[] = []

  constructor(
    private readonly claims: Claims,
    private readonly containers: Containers,
  ) {}

  async claim(port: HostPort, holder: Holder): Promise<ClaimResult> {
    const heldBy = await this.#ruleHolder(port)
    return heldBy ? { heldBy } : this.claims.claim(port, holder)
  }

  async holderOf(port: HostPort): Promise<Holder | undefined> {
    return (await this.#ruleHolder(port)) ?? this.claims.holderOf(port)
  }

  get #publishers(): ReadonlyMap<number, readonly EnginePublication[]> {
    const { all } = this.containers
    if (all !== this.#all) {
      this.#all = all
      this.#published = publishedBy(all)
    }
    return this.#published
  }

  /** A port that a process holds is left to the kernel, because the process tells more. */
  async #ruleHolder(port: HostPort): Promise<Holder | undefined> {
    const holder = this.#publishingContainer(port) ?? (await this.#publishingService(port))
    return holder && canBind(port) ? holder : undefined
  }

  #publishingContainer(port: HostPort): Holder | undefined {
    const owner = this.#publishers
      .get(port.port)
      ?.find(({ publishedPort }) => portsOverlap(publishedPort, port))
    if (!owner) return undefined
    const { container, publishedPort } = owner
    return {
      kind: 'container',
      name: container.name,
      ...projectView(container),
      address: joinHostPort(publishedPort.ip, publishedPort.port),
      containerPort: publishedPort.containerPort,
    }
  }

  /** A swarm publishes its ingress ports on all IPv4 addresses of a node. */
  async #publishingService({ protocol, ip, port }: HostPort): Promise<Holder | undefined> {
    if (isIpv6(ip)) return undefined
    const ports = await this.containers.recentIngressPorts()
    const owner = ports.find((each) => each.protocol === protocol && each.port === port)
    return (
      owner && {
        ...{ kind: 'service', name: owner.service, containerPort: owner.containerPort },
        address: joinHostPort('0.0.0.0', port),
      }
    )
  }
}

/** A port that the engine publishes for a running container. */
interface EnginePublication {
  readonly container: Container
  readonly publishedPort: EnginePort
}

/** Adds the name of the container or the swarm service to a conflict with a port that the engine has published. */
export async function nameContainer(
  err: unknown,
  containers: Containers | undefined,
): Promise<unknown> {
  if (!(err instanceof Refusal) || err.details.holder?.kind !== 'process') return err
  const { holder } = err.details
  const ip = holder.backend?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  // Without a docker-proxy, dockerd may hold the socket itself.
  const container =
    ip === undefined ? publishedOn(containers, holder.address) : containers?.runningOn(ip)
  const owner = container
    ? { publishes: container.name, ...projectView(container) }
    : await serviceOf(holder, containers)
  if (!owner) return err
  return new Refusal(err.code, err.message, { ...err.details, holder: { ...holder, ...owner } })
}

/** dockerd itself holds the ingress ports of a swarm. */
async function serviceOf(
  { command, address }: { readonly command: string; readonly address: string },
  containers: Containers | undefined,
): Promise<{ service: string } | undefined> {
  if (!/^\S*dockerd(\s|$)/.test(command)) return undefined
  const ports = (await containers?.ingressPorts()) ?? []
  const service = ports.find(({ port }) => address.endsWith(`:${port}`))?.service
  return service === undefined ? undefined : { service }
}

/** The running container for which the engine publishes exactly this address, `0.0.0.0:8080`. */
function publishedOn(containers: Containers | undefined, address: string): Container | undefined {
  return containers?.all.find(
    ({ isRunning, published }) =>
      isRunning && published.some(({ ip, port }) => joinHostPort(ip, port) === address),
  )
}

function publishedBy(all: readonly Container[]): Map<number, EnginePublication[]> {
  const index = new Map<number, EnginePublication[]>()
  for (const container of all.filter(({ isRunning }) => isRunning)) {
    for (const publishedPort of container.published) {
      const others = index.get(publishedPort.port) ?? []
      index.set(publishedPort.port, [...others, { container, publishedPort }])
    }
  }
  return index
}
