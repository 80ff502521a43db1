import { parseDuration } from '../duration.js'
import { parseNetworks, type Network } from './client-networks.js'
import { PROXY_VERSIONS, type ProxyVersion } from './proxy-header.js'

/** The treatment of a new client while the port has as many connections as it may have. */
type WhenFull =
  /** It waits in the kernel's backlog. */
  | 'wait'
  /** It is disconnected. */
  | 'refuse'

/** Options of one published port beyond Docker's flags. */
export interface PortOptions {
  /** Whether the log has a line for each connection. */
  readonly accessLog: boolean
  /** Networks of the clients that may connect; empty for all. */
  readonly allow: readonly Network[]
  /** Networks of clients that may not connect, whatever `allow` is. */
  readonly deny: readonly Network[]
  /** How long a backend may take to accept a connection, milliseconds; Infinity for no limit of our own. */
  readonly dialTimeoutMs: number
  /** How long a connection may live without a byte in either direction, milliseconds; Infinity for ever. Undefined: for ever, and with UDP as in the original. */
  readonly idleTimeoutMs: number | undefined
  /** Connections at most, or UDP flows; Infinity for no limit. */
  readonly maxConnections: number
  /** The version of the PROXY protocol in which backends are told the client's address; undefined if they are not. */
  readonly sendProxy: ProxyVersion | undefined
  readonly whenFull: WhenFull
}

/** The original has no limit, and waits for as long as the kernel tries: two minutes. */
const DIAL_TIMEOUT_MS = 30_000
/** Higher limits have no effect: a process has fewer descriptors. */
const MOST_CONNECTIONS = 1_000_000
/** The longest time of a Node timer, milliseconds: 596 hours. */
const LONGEST_MS = 2 ** 31 - 1
/** An option becomes an environment variable, which may have 128 KiB, see execve(2); characters. */
const LONGEST_TEXT = 16_384

interface Definition<Value> {
  /** The key in the settings file, `--NAME` of docker-publish, and `docker-publish.NAME` among labels. */
  readonly name: string
  readonly byDefault: Value
  /** One line for `--help`. */
  readonly describe: string
  readonly expected: string
  /** @returns undefined for a text that is not expected */
  readonly parse: (text: string) => { readonly value: Value } | undefined
}

const duration = (text: string): { value: number } | undefined => {
  if (text === 'off') return { value: Infinity }
  const ms = parseDuration(text)
  return ms === undefined || ms === 0 || ms > LONGEST_MS ? undefined : { value: ms }
}
const DURATION_EXPECTED =
  'a time of at most 596h with its unit, for example 500ms, 30s or 5m, or off'

const networks = (text: string): { value: readonly Network[] } | undefined => {
  if (text === 'off') return { value: [] }
  const value = parseNetworks(text)
  return value && { value }
}
const NETWORKS_EXPECTED = 'addresses and networks, for example 10.0.0.0/8,192.0.2.7, or off'

/** All options. Programs, flags, labels and the API know them by this table alone. */
const DEFINITIONS: { readonly [Key in keyof PortOptions]: Definition<PortOptions[Key]> } = {
  accessLog: {
    name: 'access-log',
    byDefault: false,
    describe: "a line in the daemon's log for each connection: on or off",
    expected: 'on or off',
    parse: choice({ on: true, off: false }),
  },
  allow: {
    name: 'allow',
    byDefault: [],
    describe: 'clients that may connect: addresses and networks, separated by commas',
    expected: NETWORKS_EXPECTED,
    parse: networks,
  },
  deny: {
    name: 'deny',
    byDefault: [],
    describe: 'clients that may not connect, whatever --allow is',
    expected: NETWORKS_EXPECTED,
    parse: networks,
  },
  dialTimeoutMs: {
    name: 'dial-timeout',
    byDefault: DIAL_TIMEOUT_MS,
    describe: 'how long the container may take to accept a connection, for example 5s [30s]',
    expected: DURATION_EXPECTED,
    parse: duration,
  },
  idleTimeoutMs: {
    name: 'idle-timeout',
    byDefault: undefined,
    describe: 'how long a connection may be silent, for example 1h [off; UDP 90s]',
    expected: DURATION_EXPECTED,
    parse: duration,
  },
  maxConnections: {
    name: 'max-connections',
    byDefault: Infinity,
    describe: 'connections at most, or UDP flows, for each port [off]',
    expected: `1 to ${MOST_CONNECTIONS}, or off`,
    parse(text) {
      if (text === 'off') return { value: Infinity }
      const value = /^\d{1,7}$/.test(text) ? Number(text) : 0
      return value >= 1 && value <= MOST_CONNECTIONS ? { value } : undefined
    },
  },
  sendProxy: {
    name: 'send-proxy',
    byDefault: undefined,
    describe: "tell the container the client's address by the PROXY protocol: v1, v2 or off",
    expected: `${PROXY_VERSIONS.join(', ')} or off`,
    parse: choice({ v1: 'v1', v2: 'v2', off: undefined }),
  },
  whenFull: {
    name: 'when-full',
    byDefault: 'wait',
    describe:
      'with --max-connections, whether further clients wait or are refused: wait or refuse [wait]',
    expected: 'wait or refuse',
    parse: choice({ wait: 'wait', refuse: 'refuse' }),
  },
}

type Key = keyof PortOptions
const KEYS = Object.keys(DEFINITIONS) as readonly Key[]

function choice<Value>(values: Readonly<Record<string, Value>>) {
  return (text: string): { readonly value: Value } | undefined =>
    Object.hasOwn(values, text) ? { value: values[text] as Value } : undefined
}

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
