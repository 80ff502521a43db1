import { isProtocol, type Protocol } from '../ports/host-port.js'
import { EngineError, type EngineClient } from './engine-client.js'

/** A port of a swarm service that each node of the swarm holds, whether it runs a container of the service or not. */
export interface IngressPort {
  readonly service: string
  readonly protocol: Protocol
  readonly port: number
  readonly containerPort: number
  /** When the service was made, ISO 8601. */
  readonly since: string
}

/** The parts of a service in the Engine API that are read. */
interface ServiceReply {
  readonly CreatedAt?: string
  readonly Spec?: { readonly Name?: string }
  readonly Endpoint?: {
    readonly Ports?:
      | readonly {
          readonly Protocol?: string
          readonly PublishedPort?: number
          readonly TargetPort?: number
          readonly PublishMode?: string
        }[]
      | null
  }
}

/**
 * Lists the ingress ports of a swarm.
 * @returns none if the engine is no manager of a swarm: an engine tells only managers
 * Rejects with EngineError.
 */
export async function listIngressPorts(client: EngineClient): Promise<IngressPort[]> {
  let services: readonly ServiceReply[]
  try {
    services = await client.get<readonly ServiceReply[]>('/services')
  } catch (err) {
    if (err instanceof EngineError && err.status !== undefined) return []
    throw err
  }
  return services.flatMap(({ CreatedAt: since = '', Spec, Endpoint }) =>
    (Endpoint?.Ports ?? []).flatMap(
      ({ Protocol: protocol = 'tcp', PublishedPort: port, TargetPort, PublishMode }) =>
        port && isProtocol(protocol) && PublishMode !== 'host'
          ? [{ service: Spec?.Name ?? '', protocol, port, containerPort: TargetPort ?? 0, since }]
          : [],
    ),
  )
}
