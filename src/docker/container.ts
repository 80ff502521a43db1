import { parseIp } from '../linux/sockets/ip-address.js'
import { isProtocol, type HostPort, type Protocol } from '../ports/host-port.js'

/** A container of an engine. */
export interface Container {
  readonly id: string
  /** Without the slash of the API. */
  readonly name: string
  readonly image: string
  readonly labels: Readonly<Record<string, string>>
  /** Paused ones run as well. */
  readonly isRunning: boolean
  /** The container's first process; undefined unless it runs. */
  readonly pid: number | undefined
  /** `bridge`, `host`, `none`, `container:ID`, or the name of a network. */
  readonly networkMode: string
  readonly networks: readonly ContainerNetwork[]
  /** Ports that the image or `--expose` names. */
  readonly exposed: readonly ContainerPort[]
  /** Ports that the engine publishes. */
  readonly published: readonly EnginePort[]
  /** Ports that the engine was asked to publish, and does not although the container runs. */
  readonly unpublished: readonly ContainerPort[]
  /** When it was started, ISO 8601. */
  readonly startedAt: string
  /** Set if the container belongs to a compose project. */
  readonly compose: ComposeContainer | undefined
}

/** A container's place in a compose project. */
interface ComposeContainer {
  readonly project: string
  readonly service: string
  /** Tells the replicas of a service apart, from 1 on. */
  readonly number: number
  /** Made by `docker compose run`: it is not a replica. */
  readonly isOneOff: boolean
}

/** A container in one network. */
export interface ContainerNetwork {
  readonly id: string
  readonly name: string
  readonly ip: string | undefined
  readonly ip6: string | undefined
  /** The router of IPv4. */
  readonly gateway?: string | undefined
}

interface ContainerPort {
  readonly protocol: Protocol
  readonly port: number
}

/** A port that the engine publishes for a container. */
export interface EnginePort extends HostPort {
  readonly containerPort: number
}

/** What is read of ContainerInspect of the Engine API. Podman leaves parts out. */
export interface InspectReply {
  readonly Id: string
  readonly Name: string
  readonly State?: {
    readonly Running?: boolean
    readonly Pid?: number
    readonly StartedAt?: string
  }
  readonly Config?: {
    readonly Image?: string
    readonly Labels?: Readonly<Record<string, string>> | null
    readonly ExposedPorts?: Readonly<Record<string, unknown>> | null
  }
  readonly HostConfig?: {
    readonly NetworkMode?: string
    readonly PortBindings?: Readonly<Record<string, unknown>> | null
  }
  readonly NetworkSettings?: {
    readonly Ports?: Readonly<
      Record<string, readonly { readonly HostIp: string; readonly HostPort: string }[] | null>
    > | null
    readonly Networks?: Readonly<Record<string, EndpointReply | null>> | null
  }
}

interface EndpointReply {
  readonly NetworkID?: string
  readonly IPAddress?: string
  readonly GlobalIPv6Address?: string
  readonly Gateway?: string
}

/** Compose's labels. Source: docker/compose, pkg/api/labels.go. */
const COMPOSE = {
  project: 'com.docker.compose.project',
  service: 'com.docker.compose.service',
  number: 'com.docker.compose.container-number',
  oneOff: 'com.docker.compose.oneoff',
} as const

/** Reads a container from a reply of the Engine API. */
export function parseContainer(reply: InspectReply): Container {
  const { Id: id, Name: name, State: state, Config: config } = reply
  const labels = config?.Labels ?? {}
  const isRunning = state?.Running === true
  const ports = reply.NetworkSettings?.Ports ?? {}
  return {
    ...{ id, name: name.replace(/^\//, ''), image: config?.Image ?? '', labels, isRunning },
    pid: isRunning && state.Pid ? state.Pid : undefined,
    networkMode: reply.HostConfig?.NetworkMode ?? '',
    networks: Object.entries(reply.NetworkSettings?.Networks ?? {}).map(([network, endpoint]) => ({
      id: endpoint?.NetworkID ?? '',
      name: network,
      ip: parseIp(endpoint?.IPAddress ?? ''),
      ip6: parseIp(endpoint?.GlobalIPv6Address ?? ''),
      gateway: parseIp(endpoint?.Gateway ?? ''),
    })),
    exposed: Object.keys(config?.ExposedPorts ?? {}).flatMap((text) => parsePort(text) ?? []),
    published: Object.entries(ports).flatMap(([text, bindings]) => {
      const container = parsePort(text)
      if (!container) return []
      return (bindings ?? []).map(({ HostIp, HostPort }) => ({
        ...{ protocol: container.protocol, containerPort: container.port },
        ...{ ip: HostIp === '' ? '0.0.0.0' : HostIp, port: Number(HostPort) },
      }))
    }),
    unpublished: isRunning ? unpublishedPorts(reply) : [],
    startedAt: state?.StartedAt ?? '',
    compose: composeOf(labels),
  }
}

/** Without a network of its own, a container has no ports to publish. */
function unpublishedPorts({
  HostConfig: config,
  NetworkSettings: settings,
}: InspectReply): ContainerPort[] {
  if (/^(host|none|container:.*)$/.test(config?.NetworkMode ?? '')) return []
  return Object.keys(config?.PortBindings ?? {}).flatMap((text) =>
    settings?.Ports?.[text]?.length ? [] : (parsePort(text) ?? []),
  )
}

/** The compose project of a container, for views and messages; empty without one. */
export function projectView({ compose }: Container): { project?: string } {
  return compose ? { project: compose.project } : {}
}

/** `80/tcp`. */
function parsePort(text: string): ContainerPort | undefined {
  const [port, protocol = 'tcp'] = text.split('/')
  return isProtocol(protocol) ? { protocol, port: Number(port) } : undefined
}

function composeOf(labels: Container['labels']): ComposeContainer | undefined {
  const { [COMPOSE.project]: project, [COMPOSE.service]: service } = labels
  if (!project || !service) return undefined
  const number = Number(labels[COMPOSE.number] ?? 1)
  return {
    ...{ project, service, number: Number.isSafeInteger(number) ? number : 1 },
    isOneOff: /^true$/i.test(labels[COMPOSE.oneOff] ?? ''),
  }
}
