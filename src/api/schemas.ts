import { Type, type Static } from 'typebox'
import { WHEN_STOPPED } from '../controller/following.js'
import { VIA } from '../controller/via.js'
import { ISOLATION_CHOICES, MAX_PORTS_WITH_PROCESSES } from '../controller/isolation.js'
import type { Holder } from '../ports/holder.js'
import { OPTION_NAMES } from '../controller/publication-request.js'
import { DURATION_BOUNDS_MS, type PublicationView } from '../controller/views.js'
import { ProtocolSchema } from '../ports/protocol-schema.js'
import type { Suggestions } from '../ports/suggestions.js'

/*
 * The JSON schemas of requests and replies. The server validates requests with them, and the OpenAPI document contains them. The types
 * are in the folders of their domain.
 */

const IsolationSchema = Type.Union([Type.Literal('process'), Type.Literal('shared')])

const FailedDialSchema = Type.Object({
  reason: Type.String(),
  time: Type.String({ format: 'date-time' }),
})

/** The figures that our own proxies report. */
const PROXY_REPORT = {
  bytesIn: Type.Optional(
    Type.Integer({ description: 'Bytes from clients so far, if the proxy reports them' }),
  ),
  bytesOut: Type.Optional(Type.Integer({ description: 'Bytes to clients so far' })),
  accepted: Type.Optional(Type.Integer({ description: 'Connections so far' })),
  failedDials: Type.Optional(Type.Integer({ description: 'Dials of the container that failed' })),
  deniedClients: Type.Optional(
    Type.Integer({ description: 'Clients whose address is not allowed' }),
  ),
  excessClients: Type.Optional(
    Type.Integer({ description: 'Clients refused because of max-connections' }),
  ),
  recentFailedDials: Type.Optional(
    Type.Integer({ description: 'Failed dials of the last five minutes' }),
  ),
  pausedIn: Type.Optional(
    Type.Integer({
      description: 'Pauses of reading from clients, because the container took no more data',
    }),
  ),
  pausedOut: Type.Optional(
    Type.Integer({
      description: 'Pauses of reading from the container, because clients took no more data',
    }),
  ),
  durations: Type.Optional(
    Type.Object(
      {
        counts: Type.Array(Type.Integer(), {
          description: `Connections that have ended, by their duration: up to ${DURATION_BOUNDS_MS.join(', ')} milliseconds, and longer`,
        }),
        sumMs: Type.Number({ description: 'Sum of all durations, milliseconds' }),
      },
      { description: 'How long connections lived' },
    ),
  ),
  lastFailedDial: Type.Optional(FailedDialSchema),
  failedDialReasons: Type.Optional(
    Type.Record(Type.String(), Type.Integer(), { description: 'Failed dials by reason' }),
  ),
}

const PortViewSchema = Type.Object(
  {
    protocol: ProtocolSchema,
    hostIp: Type.String(),
    hostPort: Type.Integer(),
    containerPort: Type.Integer(),
    state: Type.Union([
      Type.Literal('starting'),
      Type.Literal('up'),
      Type.Literal('restarting'),
      Type.Literal('closed'),
      Type.Literal('waiting'),
      Type.Literal('draining'),
      Type.Literal('stopped'),
    ]),
    pid: Type.Optional(Type.Integer({ description: 'The process that serves the port' })),
    restarts: Type.Integer(),
    reason: Type.Optional(Type.String({ description: 'Why the last process ended' })),
    via: Type.Enum([...VIA], {
      description: 'How clients on other hosts reach the container at present',
    }),
    connections: Type.Integer({ description: 'Open connections' }),
    oldConnections: Type.Optional(
      Type.Integer({
        description: 'How many of them belong to processes that an upgrade has replaced',
      }),
    ),
    ...PROXY_REPORT,
    holdsSocket: Type.Boolean({
      description: 'Whether clients wait, and are not refused, while the process is restarted',
    }),
  },
  { $id: 'Port' },
)

const OptionsSchema = Type.Record(Type.String(), Type.String(), {
  description: `Options of each port, by name: ${OPTION_NAMES.join(', ')}`,
})

const PublicationViewSchema = Type.Object(
  {
    name: Type.String(),
    backend: Type.String({
      description:
        "The container's address. Several are separated by commas, and it is empty while no container runs",
    }),
    container: Type.Optional(
      Type.String({
        description:
          'The container or compose service that is followed; left out if the address is kept',
      }),
    ),
    project: Type.Optional(Type.String({ description: 'The compose project of the container' })),
    containerState: Type.Optional(
      Type.Enum(['running', 'stopped', 'missing', 'unreachable', 'unknown'], {
        description: 'unknown: the Docker Engine was not asked yet',
      }),
    ),
    why: Type.Optional(Type.String({ description: 'Why no client gets through' })),
    labelError: Type.Optional(
      Type.String({ description: 'Why the labels of the container publish nothing' }),
    ),
    network: Type.Optional(
      Type.String({
        description: 'The network in which the container is reached, if it was named',
      }),
    ),
    whenStopped: Type.Optional(Type.Enum([...WHEN_STOPPED])),
    keep: Type.Optional(
      Type.Boolean({ description: 'Whether the publication outlives its container' }),
    ),
    created: Type.String({ format: 'date-time' }),
    isolation: IsolationSchema,
    via: Type.Enum([...VIA], { description: 'The requested way' }),
    options: Type.Optional(OptionsSchema),
    ports: Type.Array(Type.Ref('Port')),
  },
  { $id: 'Publication' },
)

const DockerPortSchema = Type.Object(
  {
    pid: Type.Optional(
      Type.Integer({
        description: "dockerd's docker-proxy of the port; left out for a port without one",
      }),
    ),
    protocol: ProtocolSchema,
    hostIp: Type.String(),
    hostPort: Type.Integer(),
    container: Type.Optional(
      Type.String({ description: "The container's name, if dockerd could be asked" }),
    ),
    project: Type.Optional(Type.String({ description: 'The compose project of the container' })),
    service: Type.Optional(Type.String({ description: 'The swarm service of the port' })),
    containerIp: Type.String({ description: 'Empty for a service' }),
    containerPort: Type.Integer(),
    since: Type.String({ format: 'date-time' }),
    connections: Type.Integer({ description: 'Open connections' }),
    ...PROXY_REPORT,
    dropped: Type.Optional(
      Type.Integer({
        description: 'UDP: datagrams that were dropped because too much waited to be sent',
      }),
    ),
  },
  { $id: 'DockerPort' },
)

const ContainerSchema = Type.Object(
  {
    name: Type.String(),
    state: Type.Enum(['running', 'stopped', 'missing', 'unreachable']),
    why: Type.Optional(Type.String({ description: 'Why no client gets through' })),
    addresses: Type.Array(Type.String()),
    ports: Type.Array(
      Type.Object({
        protocol: ProtocolSchema,
        port: Type.Integer(),
        isExposed: Type.Boolean({ description: 'Whether the image or --expose names it' }),
        isMissing: Type.Boolean({
          description: 'Whether the engine should publish it, and does not',
        }),
        published: Type.Array(
          Type.Object({
            hostIp: Type.String(),
            hostPort: Type.Integer(),
            publication: Type.Optional(
              Type.String({ description: 'Left out if the engine publishes the port itself' }),
            ),
          }),
        ),
      }),
    ),
  },
  { $id: 'Container' },
)

const PublicationRequestSchema = Type.Object(
  {
    name: Type.Optional(Type.String()),
    backend: Type.Optional(
      Type.String({
        description:
          "The container's IP address, unless container names it. If it belongs to a container, the publication follows the container",
      }),
    ),
    container: Type.Optional(
      Type.String({
        description: 'Name or id of a container, or a compose service as PROJECT/SERVICE',
      }),
    ),
    engine: Type.Optional(
      Type.String({
        description:
          "The engine that the client means, as DOCKER_HOST names it; by default the daemon's",
      }),
    ),
    addressOnly: Type.Optional(
      Type.Boolean({ description: 'Keep the address of backend, whoever has it' }),
    ),
    network: Type.Optional(
      Type.String({
        description:
          'The network in which the container is reached; by default the first one that this host reaches',
      }),
    ),
    whenStopped: Type.Optional(
      Type.Enum([...WHEN_STOPPED], {
        description:
          'While the container is stopped: disconnect clients at once (the default), let them wait for half a minute, or close the port',
      }),
    ),
    keep: Type.Optional(
      Type.Boolean({
        description:
          'Whether the publication outlives its container, and takes up the next one of its name',
      }),
    ),
    via: Type.Optional(
      Type.Enum([...VIA], {
        description:
          "proxy, the default; nat has the kernel translate addresses for clients on other hosts, so that the container sees the client's address",
      }),
    ),
    ports: Type.Array(Type.String(), {
      minItems: 1,
      description: 'As docker run -p accepts them: 8080:80, 127.0.0.1::53/udp, 8000-8009:9000-9009',
    }),
    isolation: Type.Optional(
      Type.Enum([...ISOLATION_CHOICES], {
        description: `A process for each port, or one process for all of them; auto, the default, shares one among more than ${MAX_PORTS_WITH_PROCESSES} ports`,
      }),
    ),
    options: Type.Optional(OptionsSchema),
  },
  { $id: 'PublicationRequest', additionalProperties: false },
)

const ChangeRequestSchema = Type.Object(
  { options: OptionsSchema },
  { $id: 'ChangeRequest', additionalProperties: false },
)
export type ChangeRequest = Static<typeof ChangeRequestSchema>

const CheckRequestSchema = Type.Object(
  { ports: Type.Array(Type.String(), { minItems: 1 }) },
  { $id: 'CheckRequest', additionalProperties: false },
)
export type CheckRequest = Static<typeof CheckRequestSchema>

const HostPortSchema = Type.Object(
  { protocol: ProtocolSchema, ip: Type.String(), port: Type.Integer() },
  { $id: 'HostPort' },
)

const HolderSchema = Type.Object(
  {
    kind: Type.Union([
      Type.Literal('publication'),
      Type.Literal('container'),
      Type.Literal('service'),
      Type.Literal('process'),
      Type.Literal('unknown'),
      Type.Literal('closed-connection'),
      Type.Literal('unlisted'),
    ]),
    address: Type.String({ description: 'Where the holder is bound' }),
    remote: Type.Optional(
      Type.String({ description: 'The other end, if a connection occupies the port' }),
    ),
    name: Type.Optional(Type.String()),
    backend: Type.Optional(Type.String()),
    pid: Type.Optional(Type.Integer()),
    command: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    since: Type.Optional(Type.String({ format: 'date-time' })),
    container: Type.Optional(
      Type.String({
        description:
          'process: the id of the container that the holder runs in; publication: the name of the container that it follows',
      }),
    ),
    containerPort: Type.Optional(Type.Integer()),
    project: Type.Optional(Type.String({ description: 'The compose project of the container' })),
    service: Type.Optional(
      Type.String({ description: 'The swarm service whose port dockerd holds' }),
    ),
    publishes: Type.Optional(
      Type.String({ description: 'The name of the container whose port dockerd publishes' }),
    ),
  },
  { $id: 'Holder' },
)

const SuggestionsSchema = Type.Object(
  {
    ports: Type.Array(Type.Integer(), { description: 'The nearest free ports' }),
    address: Type.Optional(
      Type.String({ description: 'An address on which the port itself is free' }),
    ),
  },
  { $id: 'Suggestions' },
)

const ErrorSchema = Type.Object(
  {
    code: Type.String(),
    message: Type.String(),
    holder: Type.Optional(Type.Ref('Holder')),
    suggestions: Type.Optional(Type.Ref('Suggestions')),
  },
  { $id: 'Error' },
)

export type ErrorView = Static<typeof ErrorSchema> & { holder?: Holder; suggestions?: Suggestions }

const VersionSchema = Type.Object(
  { version: Type.String(), commit: Type.String(), apiVersion: Type.String() },
  { $id: 'Version' },
)
export type VersionView = Static<typeof VersionSchema>

const EventSchema = Type.Object(
  {
    time: Type.String({ format: 'date-time' }),
    type: Type.Union([
      Type.Literal('published'),
      Type.Literal('withdrawn'),
      Type.Literal('moved'),
      Type.Literal('suspended'),
      Type.Literal('changed'),
      Type.Literal('upgraded'),
      Type.Literal('waiting'),
      Type.Literal('refused'),
      Type.Literal('adopted'),
      Type.Literal('proxy-exited'),
      Type.Literal('proxy-restarted'),
    ]),
    publication: Type.String(),
    port: Type.Optional(Type.String({ description: 'As 0.0.0.0:8080/tcp' })),
    reason: Type.Optional(Type.String()),
    backend: Type.Optional(
      Type.String({ description: 'Where a publication that has moved forwards to now' }),
    ),
  },
  { $id: 'Event' },
)

const ConnectionSchema = Type.Object(
  {
    client: Type.String({ description: 'As 192.0.2.7:50412' }),
    host: Type.String({ description: 'The address that the client has connected to' }),
    bytesIn: Type.Optional(Type.Integer({ description: 'Bytes from the client' })),
    bytesOut: Type.Optional(
      Type.Integer({ description: 'Bytes that the client has acknowledged' }),
    ),
  },
  { $id: 'Connection' },
)
export type ConnectionView = Static<typeof ConnectionSchema>

const AddProgressSchema = Type.Object(
  {
    ready: Type.Optional(Type.Integer({ description: 'Ports that are served so far' })),
    ports: Type.Optional(Type.Integer({ description: 'All ports of the publication' })),
    publication: Type.Optional(Type.Ref('Publication')),
    error: Type.Optional(Type.Ref('Error')),
  },
  { $id: 'AddProgress' },
)
export type AddProgressView = Partial<{
  readonly ready: number
  readonly ports: number
  readonly publication: PublicationView
  readonly error: ErrorView
}>

const LogLineSchema = Type.Object(
  {
    level: Type.Integer({ description: '20 debug, 30 info, 40 warn, 50 error' }),
    time: Type.Integer({ description: 'Milliseconds since 1970' }),
    msg: Type.String(),
    port: Type.Optional(Type.String({ description: 'As 0.0.0.0:8080/tcp' })),
  },
  { $id: 'LogLine', additionalProperties: true },
)
export type LogLineView = Static<typeof LogLineSchema>

const UpgradeSchema = Type.Object(
  {
    processes: Type.Integer({ description: 'Processes that were replaced' }),
    oldConnections: Type.Integer({ description: 'Connections that stay with the old ones' }),
  },
  { $id: 'Upgrade' },
)
export type UpgradeView = Static<typeof UpgradeSchema>

/** The schemas that requests and replies refer to. */
export const ALL_SCHEMAS = [
  PortViewSchema,
  PublicationViewSchema,
  ContainerSchema,
  PublicationRequestSchema,
  ChangeRequestSchema,
  CheckRequestSchema,
  HostPortSchema,
  DockerPortSchema,
  HolderSchema,
  SuggestionsSchema,
  ErrorSchema,
  VersionSchema,
  EventSchema,
  UpgradeSchema,
  LogLineSchema,
  AddProgressSchema,
  ConnectionSchema,
]
