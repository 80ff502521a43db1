import { Type, type Static } from 'typebox'

/*
 * The form of results.json.
 */

const Figure = Type.Object({
  key: Type.String(),
  title: Type.String(),
  unit: Type.String(),
  better: Type.Union([Type.Literal('more'), Type.Literal('less')]),
})

const Value = Type.Object({
  rounds: Type.Array(Type.Number(), {
    description: 'what each round brought, the warm-up left out',
  }),
  median: Type.Number(),
  low: Type.Number(),
  high: Type.Number(),
  noisy: Type.Boolean({ description: 'the rounds differ too much for the median to be relied on' }),
  ratios: Type.Record(Type.String(), Type.Number(), {
    description:
      'the median as a multiple of that of docker-proxy, and of direct, where these were measured',
  }),
})

const Row = Type.Object({
  peer: Type.String(),
  values: Type.Record(Type.String(), Value, { description: 'by the keys of the figures' }),
  failure: Type.Optional(
    Type.String({
      description: 'why the peer could not be measured to the end; it has no values then',
    }),
  ),
})

const Curve = Type.Object({
  title: Type.String(),
  xTitle: Type.String(),
  unit: Type.String(),
  points: Type.Array(
    Type.Object({ x: Type.Union([Type.Number(), Type.String()]), key: Type.String() }),
    { description: 'where the figure of this key stands' },
  ),
})

const ScenarioResult = Type.Object({
  name: Type.String(),
  title: Type.String(),
  load: Type.String(),
  figures: Type.Array(Figure),
  curve: Type.Optional(Curve),
  rows: Type.Array(Row),
  loadAverages: Type.Optional(
    Type.Array(Type.Number(), {
      description: 'of the machine over one minute, at the start of each round, warm-ups included',
    }),
  ),
  repeated: Type.Optional(
    Type.Number({
      description: 'measurements that were repeated, because other work disturbed them',
    }),
  ),
})

const LeftOut = Type.Object({
  name: Type.String({ description: 'of a peer or a scenario' }),
  reason: Type.String(),
})

export const Results = Type.Object(
  {
    version: Type.Literal(1),
    date: Type.String({ description: 'ISO 8601' }),
    machine: Type.Object({
      processor: Type.String(),
      cores: Type.Number(),
      memory: Type.Number({ description: 'MiB' }),
      kernel: Type.String(),
      congestionControl: Type.String(),
      connectionTracking: Type.Optional(
        Type.String({ description: 'whether the kernel tracks connections, and how many' }),
      ),
      pinning: Type.String(),
    }),
    path: Type.Optional(
      Type.Object(
        { name: Type.String(), how: Type.String(), congestionControl: Type.String() },
        { description: 'of the traffic' },
      ),
    ),
    tools: Type.Record(Type.String(), Type.String(), {
      description: 'versions of Node and the load',
    }),
    rounds: Type.Number(),
    seconds: Type.Number({ description: 'of a round of traffic' }),
    interrupted: Type.Boolean(),
    peers: Type.Array(
      Type.Object({
        name: Type.String(),
        how: Type.String(),
        version: Type.String(),
        isOurs: Type.Boolean(),
      }),
    ),
    leftOut: Type.Array(LeftOut),
    scenarios: Type.Array(ScenarioResult),
  },
  {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: 'results.json of npm run bench',
  },
)

export type Results = Static<typeof Results>
export type ScenarioResult = Static<typeof ScenarioResult>
export type Row = Static<typeof Row>
export type Value = Static<typeof Value>
export type Figure = Static<typeof Figure>
export type LeftOut = Static<typeof LeftOut>
