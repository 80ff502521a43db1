import { Type, type Static } from 'typebox'
import type { Suggestions } from '../conflict.js'
import type { Holder } from '../holder.js'

/*
 * What the API takes and gives, as JSON schemas: the server checks requests by them, the OpenAPI document shows
 * them, and the types of server and client are read off them.
 */

export const ProtocolSchema = Type.Union([
  Type.Literal('tcp'),
  Type.Literal('udp'),
  Type.Literal('sctp'),
])

/** How ports are served: by a docker-proxy for each, or all of a publication by one process. */
const IsolationSchema = Type.Union([Type.Literal('process'), Type.Literal('shared')])
export type Isolation = Static<typeof IsolationSchema>

export const PortViewSchema = Type.Object(
  {
    protocol: ProtocolSchema,
    hostIp: Type.String(),
    hostPort: Type.Integer(),
    containerPort: Type.Integer(),
    state: Type.Union([
      Type.Literal('starting'),
      Type.Literal('up'),
      Type.Literal('restarting'),
      Type.Literal('stopped'),
    ]),
    pid: Type.Optional(Type.Integer({ description: 'The docker-proxy that serves the port' })),
    restarts: Type.Integer(),
    reason: Type.Optional(Type.String({ description: 'Why the last proxy ended' })),
    connections: Type.Integer({ description: 'Connections open now' }),
    bytesIn: Type.Optional(
      Type.Integer({ description: 'Bytes from clients so far, where the proxy tells' }),
    ),
    bytesOut: Type.Optional(Type.Integer({ description: 'Bytes to clients so far' })),
    holdsSocket: Type.Boolean({
      description: 'Whether clients wait, rather than being refused, while the proxy is replaced',
    }),
  },
  { $id: 'Port' },
)
export type PortView = Static<typeof PortViewSchema>

export const PublicationViewSchema = Type.Object(
  {
    name: Type.String(),
    backend: Type.String({ description: "The container's address" }),
    created: Type.String({ format: 'date-time' }),
    isolation: IsolationSchema,
    ports: Type.Array(Type.Ref('Port')),
  },
  { $id: 'Publication' },
)
export type PublicationView = Omit<Static<typeof PublicationViewSchema>, 'ports'> & {
  ports: PortView[]
}

export const DockerPortSchema = Type.Object(
  {
    pid: Type.Integer({ description: "dockerd's docker-proxy for the port" }),
    protocol: ProtocolSchema,
    hostIp: Type.String(),
    hostPort: Type.Integer(),
    containerIp: Type.String(),
    containerPort: Type.Integer(),
    since: Type.String({ format: 'date-time' }),
    connections: Type.Integer({ description: 'Connections open now' }),
    accepted: Type.Integer({ description: 'Connections so far' }),
    failedDials: Type.Integer({ description: 'Those for which the container did not answer' }),
    bytesIn: Type.Integer({ description: 'Bytes from clients so far' }),
    bytesOut: Type.Integer({ description: 'Bytes to clients so far' }),
  },
  { $id: 'DockerPort' },
)
export type DockerPortView = Static<typeof DockerPortSchema>

export const PublicationRequestSchema = Type.Object(
  {
    name: Type.Optional(Type.String()),
    backend: Type.String({ description: "The container's IP address" }),
    ports: Type.Array(Type.String(), {
      minItems: 1,
      description: 'As docker run -p takes them: 8080:80, 127.0.0.1::53/udp, 8000-8009:9000-9009',
    }),
    isolation: Type.Optional(
      Type.Union([...IsolationSchema.anyOf, Type.Literal('auto')], {
        description:
          'A process for each port, or one for all of them; auto, the default, takes one for a range of more than 16 ports',
      }),
    ),
  },
  { $id: 'PublicationRequest', additionalProperties: false },
)
export type PublicationRequest = Static<typeof PublicationRequestSchema>

export const CheckRequestSchema = Type.Object(
  { ports: Type.Array(Type.String(), { minItems: 1 }) },
  { $id: 'CheckRequest', additionalProperties: false },
)
export type CheckRequest = Static<typeof CheckRequestSchema>

export const ClaimSchema = Type.Object(
  { protocol: ProtocolSchema, ip: Type.String(), port: Type.Integer() },
  { $id: 'Claim' },
)

export const HolderSchema = Type.Object(
  {
    kind: Type.Union([
      Type.Literal('publication'),
      Type.Literal('process'),
      Type.Literal('unknown'),
    ]),
    address: Type.String({ description: 'Where the holder listens' }),
    name: Type.Optional(Type.String()),
    backend: Type.Optional(Type.String()),
    pid: Type.Optional(Type.Integer()),
    command: Type.Optional(Type.String()),
    user: Type.Optional(Type.String()),
    since: Type.Optional(Type.String({ format: 'date-time' })),
    container: Type.Optional(Type.String({ description: "The id of the holder's container" })),
  },
  { $id: 'Holder' },
)

export const SuggestionsSchema = Type.Object(
  {
    ports: Type.Array(Type.Integer(), { description: 'The nearest that are free' }),
    address: Type.Optional(Type.String({ description: 'Where the port itself is free' })),
  },
  { $id: 'Suggestions' },
)

export const ErrorSchema = Type.Object(
  {
    code: Type.String(),
    message: Type.String(),
    holder: Type.Optional(Type.Ref('Holder')),
    suggestions: Type.Optional(Type.Ref('Suggestions')),
  },
  { $id: 'Error' },
)

export type ErrorView = Static<typeof ErrorSchema> & { holder?: Holder; suggestions?: Suggestions }

export const VersionSchema = Type.Object(
  { version: Type.String(), commit: Type.String(), apiVersion: Type.String() },
  { $id: 'Version' },
)
export type VersionView = Static<typeof VersionSchema>

export const EventSchema = Type.Object(
  {
    time: Type.String({ format: 'date-time' }),
    type: Type.Union([
      Type.Literal('published'),
      Type.Literal('withdrawn'),
      Type.Literal('adopted'),
      Type.Literal('proxy-exited'),
      Type.Literal('proxy-restarted'),
    ]),
    publication: Type.String(),
    port: Type.Optional(Type.String({ description: 'As 0.0.0.0:8080/tcp' })),
    reason: Type.Optional(Type.String()),
  },
  { $id: 'Event' },
)
export type PublicationEvent = Static<typeof EventSchema>
