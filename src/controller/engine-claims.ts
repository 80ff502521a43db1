import type { Container } from '../docker/container.js'
import type { Containers } from '../docker/containers.js'
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
  constructor(
    private readonly claims: Claims,
    private readonly containers: Containers,
  ) {}

  async claim(port: HostPort, holder: Holder): Promise<ClaimResult> {
    const heldBy = this.#ruleHolder(port)
    return heldBy ? { heldBy } : this.claims.claim(port, holder)
  }

  async holderOf(port: HostPort): Promise<Holder | undefined> {
    return (await this.claims.holderOf(port)) ?? this.#ruleHolder(port)
  }

  /** A port that a process holds is left to the kernel, because the process tells more. */
  #ruleHolder(port: HostPort): Holder | undefined {
    const owner = publisherOf(this.containers.all, port)
    if (!owner || !canBind(port)) return undefined
    const { container, publishedPort } = owner
    return {
      kind: 'container',
      name: container.name,
      address: joinHostPort(publishedPort.ip, publishedPort.port),
      containerPort: publishedPort.containerPort,
    }
  }
}

/** Adds the name of the container to a conflict with a port that the engine has published. */
export function nameContainer(err: unknown, containers: Containers | undefined): unknown {
  if (!(err instanceof Refusal) || err.details.holder?.kind !== 'process') return err
  const { holder } = err.details
  const ip = holder.backend?.replace(/:\d+$/, '').replace(/^\[|\]$/g, '')
  // Without a docker-proxy, dockerd may hold the socket itself.
  const container =
    ip === undefined ? publishedOn(containers, holder.address) : containers?.runningOn(ip)
  const publishes = container?.name
  if (publishes === undefined) return err
  return new Refusal(err.code, err.message, { ...err.details, holder: { ...holder, publishes } })
}

/** The running container for which the engine publishes exactly this address, `0.0.0.0:8080`. */
function publishedOn(containers: Containers | undefined, address: string): Container | undefined {
  return containers?.all.find(
    ({ isRunning, published }) =>
      isRunning && published.some(({ ip, port }) => joinHostPort(ip, port) === address),
  )
}

/** The running container for which the engine publishes a port that overlaps with another one. */
function publisherOf(all: readonly Container[], port: HostPort) {
  for (const container of all) {
    const publishedPort = container.published.find((each) => portsOverlap(each, port))
    if (container.isRunning && publishedPort) return { container, publishedPort }
  }
  return undefined
}
