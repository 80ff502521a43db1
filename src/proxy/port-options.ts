import type { Network } from './client-networks.js'
import {
  ACCESS_LOG,
  BANDWIDTH,
  choice,
  CONNECTIONS,
  DURATION,
  NETWORK_LIMIT,
  NETWORKS,
  NO_ACCESS_LOG,
  type AccessLog,
  type NetworkLimit,
  type OptionValue,
} from './option-values.js'
import { PROXY_VERSIONS, type ProxyVersion } from './proxy-header.js'

/** The treatment of a new client while the port has as many connections as it may have. */
type WhenFull =
  /** It waits in the kernel's backlog. */
  | 'wait'
  /** It is disconnected. */
  | 'refuse'

/** Options of one published port beyond Docker's flags. */
export interface PortOptions {
  /** Networks of balancers whose connections begin with a header of the PROXY protocol; empty for none. */
  readonly acceptProxy: readonly Network[]
  /** Time that a balancer has to send the header, milliseconds; Infinity for no limit. */
  readonly acceptProxyTimeoutMs: number
  /** The connections that have lines in the log. */
  readonly accessLog: AccessLog
  /** Networks of the clients that may connect; empty for all. */
  readonly allow: readonly Network[]
  /** Networks of clients that may not connect, whatever `allow` is. */
  readonly deny: readonly Network[]
  /** How long a backend may take to accept a connection, milliseconds; Infinity for no limit of our own. */
  readonly dialTimeoutMs: number
  /** How long a connection may live without a byte in either direction, milliseconds; Infinity for ever. Undefined: for ever, and with UDP as in the original. */
  readonly idleTimeoutMs: number | undefined
  /**
   * How long a connection may live without a byte after one side has ended its direction, milliseconds; Infinity for as long as `idleTimeoutMs`.
   */
  readonly halfClosedTimeoutMs: number
  /** Bytes per second from all clients together at most; Infinity for no limit. */
  readonly maxBandwidthIn: number
  /** Bytes per second to all clients together at most; Infinity for no limit. */
  readonly maxBandwidthOut: number
  /** New connections per second at most, or new UDP flows; Infinity for no limit. */
  readonly maxConnectionRate: number
  /** Connections at most, or UDP flows; Infinity for no limit. */
  readonly maxConnections: number
  /** Connections of each network of clients at most, or UDP flows; undefined for no limit. */
  readonly maxConnectionsPerNetwork: NetworkLimit | undefined
  /** The version of the PROXY protocol in which backends are told the client's address; undefined if they are not. */
  readonly sendProxy: ProxyVersion | undefined
  /** Time that sent data may wait for the other end, milliseconds, see TCP_USER_TIMEOUT in tcp(7); Infinity for the kernel's own limit. */
  readonly tcpUserTimeoutMs: number
  readonly whenFull: WhenFull
}

/** The original has no limit, and waits for as long as the kernel tries: two minutes. */
const DIAL_TIMEOUT_MS = 30_000
/** A balancer sends the header at once. */
const ACCEPT_PROXY_TIMEOUT_MS = 5_000
/** An option becomes an environment variable, which may have 128 KiB, see execve(2); characters. */
const LONGEST_TEXT = 16_384

interface Definition<Value> extends OptionValue<Value> {
  /** The key in the settings file, `--NAME` of docker-publish, and `docker-publish.NAME` among labels. */
  readonly name: string
  readonly byDefault: Value
  /** One line for `--help`. */
  readonly describe: string
}

/** All options. Programs, flags, labels and the API know them by this table alone. */
const DEFINITIONS: { readonly [Key in keyof PortOptions]: Definition<PortOptions[Key]> } = {
  acceptProxy: {
    name: 'accept-proxy',
    byDefault: [],
    describe: 'balancers that tell the client by the PROXY protocol: addresses and networks [off]',
    ...NETWORKS,
  },
  acceptProxyTimeoutMs: {
    name: 'accept-proxy-timeout',
    byDefault: ACCEPT_PROXY_TIMEOUT_MS,
    describe: 'time that a balancer has to send the header [5s]',
    ...DURATION,
  },
  accessLog: {
    name: 'access-log',
    byDefault: NO_ACCESS_LOG,
    describe:
      "a line in the daemon's log for each connection, or for a share of them, and also for their start: on, off, start, 1% or start,1% [off]",
    ...ACCESS_LOG,
  },
  allow: {
    name: 'allow',
    byDefault: [],
    describe: 'clients that may connect: addresses and networks, separated by commas [off]',
    ...NETWORKS,
  },
  deny: {
    name: 'deny',
    byDefault: [],
    describe: 'clients that may not connect, even if --allow names them [off]',
    ...NETWORKS,
  },
  dialTimeoutMs: {
    name: 'dial-timeout',
    byDefault: DIAL_TIMEOUT_MS,
    describe: 'how long the container may take to accept a connection, for example 5s [30s]',
    ...DURATION,
  },
  idleTimeoutMs: {
    name: 'idle-timeout',
    byDefault: undefined,
    describe: 'how long a connection may be silent, for example 1h [off; UDP 90s]',
    ...DURATION,
  },
  halfClosedTimeoutMs: {
    name: 'half-closed-timeout',
    byDefault: Infinity,
    describe: 'how long a connection may be silent once one side has ended, for example 1m [off]',
    ...DURATION,
  },
  maxBandwidthIn: {
    name: 'max-bandwidth-in',
    byDefault: Infinity,
    describe:
      'bytes or bits per second from the clients of each port, for example 10MiB or 100Mbit [off]',
    ...BANDWIDTH,
  },
  maxBandwidthOut: {
    name: 'max-bandwidth-out',
    byDefault: Infinity,
    describe:
      'bytes or bits per second to the clients of each port, for example 10MiB or 100Mbit [off]',
    ...BANDWIDTH,
  },
  maxConnectionRate: {
    name: 'max-connection-rate',
    byDefault: Infinity,
    describe: 'new connections per second at most, or new UDP flows, for each port [off]',
    ...CONNECTIONS,
  },
  maxConnections: {
    name: 'max-connections',
    byDefault: Infinity,
    describe: 'connections at most, or UDP flows, for each port [off]',
    ...CONNECTIONS,
  },
  maxConnectionsPerNetwork: {
    name: 'max-connections-per-network',
    byDefault: undefined,
    describe:
      'connections of one address at most (IPv6: one /64), or of one network: 20, or 20/24/48 with the bits of IPv4 and IPv6 [off]',
    ...NETWORK_LIMIT,
  },
  sendProxy: {
    name: 'send-proxy',
    byDefault: undefined,
    describe: "tell the container the client's address by the PROXY protocol: v1, v2 or off [off]",
    ...choice({ v1: 'v1', v2: 'v2', off: undefined }, `${PROXY_VERSIONS.join(', ')} or off`),
  },
  tcpUserTimeoutMs: {
    name: 'tcp-user-timeout',
    byDefault: Infinity,
    describe:
      'time that sent data may wait for the other end, which also may read slowly, for example 30s [off]',
    ...DURATION,
  },
  whenFull: {
    name: 'when-full',
    byDefault: 'wait',
    describe:
      'treatment of clients beyond --max-connections and --max-connection-rate: wait or refuse [wait]',
    ...choice({ wait: 'wait', refuse: 'refuse' }, 'wait or refuse'),
  },
}

type Key = keyof PortOptions
const KEYS = Object.keys(DEFINITIONS) as readonly Key[]

/** The options as users write them, by name. An absent one has its default. */
export type PortOptionTexts = Readonly<Record<string, string>>

/** The names of all options, and their lines for `--help`. */
export const PORT_OPTIONS: readonly Pick<Definition<unknown>, 'name' | 'describe'>[] = KEYS.map(
  (key) => DEFINITIONS[key],
)

/** The names of all options. */
export const OPTION_NAMES: readonly string[] = PORT_OPTIONS.map(({ name }) => name)

export const DEFAULT_PORT_OPTIONS: PortOptions = portOptions((key) => DEFINITIONS[key].byDefault)

/** An option with a value that is not expected. The message quotes it. */
export class PortOptionError extends Error {
  override readonly name = 'PortOptionError'
  readonly code = 'EBADOPTION'

  /** @param fault the option, its value and what is expected; undefined for an option that does not exist */
  constructor(
    message: string,
    readonly fault?: { readonly name: string; readonly given: string; readonly expected: string },
  ) {
    super(message)
  }
}

/**
 * Parses options.
 * @param sourceOf how a message calls an option, for example `--allow`
 * @param byDefault the values of those that are absent
 * @throws PortOptionError also for an unknown name
 */
export function parsePortOptions(
  texts: PortOptionTexts,
  sourceOf: (name: string) => string,
  byDefault = DEFAULT_PORT_OPTIONS,
): PortOptions {
  const unknown = Object.keys(texts).find((name) => !OPTION_NAMES.includes(name))
  if (unknown !== undefined) {
    throw new PortOptionError(
      `unknown option ${JSON.stringify(unknown)}: expected ${OPTION_NAMES.join(', ')}`,
    )
  }
  return portOptions((key) => {
    const { name, expected, parse } = DEFINITIONS[key]
    const text = texts[name]
    if (text === undefined) return byDefault[key]
    if (text.length > LONGEST_TEXT) {
      throw new PortOptionError(
        `${sourceOf(name)} has ${text.length} characters: expected at most ${LONGEST_TEXT}`,
        { name, given: `${text.slice(0, 40)}…`, expected: `at most ${LONGEST_TEXT} characters` },
      )
    }
    const parsed = parse(text)
    if (parsed) return parsed.value
    throw new PortOptionError(
      `invalid ${sourceOf(name)} ${JSON.stringify(text)}: expected ${expected}`,
      { name, given: text, expected },
    )
  })
}

function portOptions(valueOf: (key: Key) => PortOptions[Key]): PortOptions {
  return Object.fromEntries(KEYS.map((key) => [key, valueOf(key)])) as unknown as PortOptions
}

/** The environment variable of an option: `DOCKER_PROXY_MAX_CONNECTIONS`. */
export function optionVariable(name: string): string {
  return `DOCKER_PROXY_${name.toUpperCase().replaceAll('-', '_')}`
}

/** The options in an environment. An empty variable counts as unset. */
export function optionsIn(env: NodeJS.ProcessEnv): PortOptionTexts {
  return Object.fromEntries(
    OPTION_NAMES.flatMap((name) => {
      const text = env[optionVariable(name)]
      return text ? [[name, text]] : []
    }),
  )
}

/** An environment in which no option is set. */
export const WITHOUT_OPTIONS: NodeJS.ProcessEnv = Object.fromEntries(
  OPTION_NAMES.map((name) => [optionVariable(name), '']),
)

/** The environment of a proxy with these options. */
export function optionEnvironment(texts: PortOptionTexts): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(texts).map(([name, text]) => [optionVariable(name), text]),
  )
}
