import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { parseAccount, type Account } from '../linux/accounts.js'
import { parseAddress } from '../linux/sockets/parse-address.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { MAX_THREADS } from './descriptor-shares.js'
import {
  DEFAULT_PORT_OPTIONS,
  OPTION_NAMES,
  optionVariable,
  parsePortOptions,
  PortOptionError,
  type PortOptions,
} from './port-options.js'
import { DRAIN_EXPECTED, parseDrain } from '../duration.js'
import { LOG_FORMATS, LOG_LEVELS, type LogFormat, type LogLevel } from '../log/log.js'
import { printable } from '../printable.js'

const ENGINES = ['auto', 'streams', 'native'] as const
const WORKERS = ['auto', ...Array.from({ length: MAX_THREADS }, (_, i) => String(i + 1))]
type EngineChoice = (typeof ENGINES)[number]
const ISOLATIONS = ['auto', 'process', 'shared'] as const
type IsolationSetting = (typeof ISOLATIONS)[number]
export const ISOLATION_VARIABLE = 'DOCKER_PROXY_ISOLATION'
/** The user that a docker-proxy becomes. */
export const USER_VARIABLE = 'DOCKER_PROXY_USER'
export const LOG_FORMAT_VARIABLE = 'DOCKER_PROXY_LOG_FORMAT'
const ON_DEMAND_VARIABLE = 'DOCKER_PROXY_ON_DEMAND'
const IDLE_VARIABLE = 'DOCKER_PROXY_IDLE_SECONDS'
/** Time that a docker-proxyd started by launchers lives without ports, seconds. */
const DEFAULT_IDLE = 60
const MAX_IDLE = 1_000_000

/** Settings beyond dockerd's flags, from the environment or the settings file. */
export interface Settings {
  readonly engine: EngineChoice
  readonly logLevel: LogLevel
  /** Threads that may move data, if one is not enough. */
  readonly workers: number
  /** Time that open connections have to end when dockerd ends a port, milliseconds. */
  readonly drainMs: number
  /** Where the metrics of the process's ports are served; undefined for nowhere. */
  readonly metrics: SocketAddress | undefined
  /** Options of each port. */
  readonly port: PortOptions
}

/**
 * Whether a port has a process of its own (`process`) or shares one (`shared`). Only the environment sets it: the launcher, which follows
 * it, reads no file.
 * @throws SettingError
 */
export function readIsolation(env: NodeJS.ProcessEnv): IsolationSetting {
  const text = env[ISOLATION_VARIABLE]
  return text ? oneOf(ISOLATIONS, text, ISOLATION_VARIABLE) : 'auto'
}

/**
 * Checks the settings of launchers: whether they start a docker-proxyd, `yes` or `no`, and how long it then lives without ports.
 * @throws SettingError
 */
export function checkOnDemand(env: NodeJS.ProcessEnv): void {
  const text = env[ON_DEMAND_VARIABLE]
  if (text) oneOf(['yes', 'no'], text, ON_DEMAND_VARIABLE)
  readIdleSeconds(env)
}

/** How long a docker-proxyd that launchers have started lives without ports, seconds. @throws SettingError */
export function readIdleSeconds(env: NodeJS.ProcessEnv): number {
  const text = env[IDLE_VARIABLE]
  if (!text) return DEFAULT_IDLE
  const seconds = /^\d+$/.test(text) ? Number(text) : NaN
  if (seconds <= MAX_IDLE) return seconds
  throw new SettingError(
    `invalid setting ${JSON.stringify(text)} for ${IDLE_VARIABLE}: expected seconds, 0 to ${MAX_IDLE}`,
  )
}

/**
 * The user that a docker-proxy becomes after it has bound its port; undefined if it stays as it is. Only the environment sets it, as the
 * isolation.
 * @throws SettingError
 */
export function readUser(env: NodeJS.ProcessEnv): Account | undefined {
  const text = env[USER_VARIABLE]
  if (!text) return undefined
  let account: Account | undefined
  try {
    account = parseAccount(text)
  } catch (err) {
    throw new SettingError(
      `can't look up ${JSON.stringify(text)} for ${USER_VARIABLE}: ${errnoReason(err)}; use UID:GID`,
    )
  }
  if (!account) {
    throw invalidSetting(text, USER_VARIABLE, 'USER or USER:GROUP, names or numbers of this host')
  }
  const own = process.geteuid?.()
  if (own === 0 || own === account.uid) return account
  throw new SettingError(
    `${USER_VARIABLE} is ${JSON.stringify(text)}, and only root can become another user: unset it, or start this as root`,
  )
}

/** @throws SettingError for a process that needs the rights of the user who starts it */
export function refuseUser(env: NodeJS.ProcessEnv, program: string): void {
  if (!env[USER_VARIABLE]) return
  throw new SettingError(
    `${program} can't become another user, because it reads sockets of its launchers: unset ${USER_VARIABLE}`,
  )
}

/** The form of log lines; undefined for text on a terminal, and else JSON. @throws SettingError */
export function readLogFormat(env: NodeJS.ProcessEnv): LogFormat | undefined {
  const text = env[LOG_FORMAT_VARIABLE]
  return text ? oneOf(LOG_FORMATS, text, LOG_FORMAT_VARIABLE) : undefined
}

/** An invalid setting. The message names the setting, its source, and what is expected. */
export class SettingError extends Error {
  override readonly name = 'SettingError'
  readonly code = 'EBADSETTING'
}

export const FILE_VARIABLE = 'DOCKER_PROXY_CONFIG'
const DEFAULT_FILE = '/etc/docker/docker-proxy.json'

/** Each setting: its key in the file, its environment variable, and its values. */
const SETTINGS = {
  engine: {
    variable: 'DOCKER_PROXY_ENGINE',
    choices: ENGINES,
    expected: undefined,
  },
  workers: {
    variable: 'DOCKER_PROXY_WORKERS',
    choices: WORKERS,
    expected: `auto, or 1 to ${MAX_THREADS}`,
  },
  'log-level': {
    variable: 'DOCKER_PROXY_LOG_LEVEL',
    choices: LOG_LEVELS,
    expected: undefined,
  },
} as const
type Key = keyof typeof SETTINGS
const DRAIN_KEY = 'drain'
const DRAIN_VARIABLE = 'DOCKER_PROXY_DRAIN'
const METRICS_KEY = 'metrics'
const METRICS_VARIABLE = 'DOCKER_PROXY_METRICS'
/** All variables that contain settings. */
export const SETTING_VARIABLES = [
  FILE_VARIABLE,
  ...Object.values(SETTINGS).map(({ variable }) => variable),
  DRAIN_VARIABLE,
  METRICS_VARIABLE,
  ...OPTION_NAMES.map(optionVariable),
]

/** All variables of this project's docker-proxy begin with it. */
export const SETTING_PREFIX = 'DOCKER_PROXY_'
/** Variables for users. */
const DOCUMENTED_VARIABLES = [
  ...[ISOLATION_VARIABLE, ON_DEMAND_VARIABLE, IDLE_VARIABLE, LOG_FORMAT_VARIABLE, USER_VARIABLE],
  ...SETTING_VARIABLES,
  ...['DOCKER_PROXY_RUN_DIR', 'DOCKER_PROXY_STATUS_SOCKET'],
]
/** The launcher sets the first one for the program that it becomes, and docker-publish the other for its proxies. */
const VARIABLES = [
  ...DOCUMENTED_VARIABLES,
  ...['DOCKER_PROXY_COMMAND', 'DOCKER_PROXY_BACKENDS', 'DOCKER_PROXY_CHAIN'],
]

/**
 * Reads the settings: the environment's, else the file's, else the defaults. An empty variable counts as unset.
 * The file is `DOCKER_PROXY_CONFIG`, or /etc/docker/docker-proxy.json where that exists.
 * @throws SettingError
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  refuseUnknownVariables(Object.keys(env))
  const chosen = env[FILE_VARIABLE]
  const file = readSettingsFile(chosen, chosen, { isRootsOptional: !env[USER_VARIABLE] })
  return chooseSettings(env, file, defaultSettings())
}

/** Checks the settings of the environment alone: reading the file may block, for example if it is a FIFO. @throws SettingError */
export function checkEnvironment(env: NodeJS.ProcessEnv): void {
  refuseUnknownVariables(Object.keys(env))
  chooseSettings(env, undefined, defaultSettings())
  readUser(env)
}

/** A mistyped variable would have no effect, and nobody would notice. @throws SettingError */
export function refuseUnknownVariables(names: readonly string[]): void {
  const unknown = names.find((name) => name.startsWith(SETTING_PREFIX) && !VARIABLES.includes(name))
  if (unknown === undefined) return
  throw new SettingError(
    `unknown setting ${unknown} in the environment: expected ${DOCUMENTED_VARIABLES.join(', ')}`,
  )
}

function defaultSettings(): Settings {
  return {
    ...{ engine: 'auto', logLevel: 'info', workers: maxWorkers(), drainMs: 0 },
    metrics: undefined,
    port: DEFAULT_PORT_OPTIONS,
  }
}

/**
 * Chooses each setting: the environment's, else the file's, else the default.
 * @throws SettingError
 */
export function chooseSettings(
  env: NodeJS.ProcessEnv,
  file: SettingsFile | undefined,
  byDefault: Settings,
): Settings {
  const choose = <K extends Key>(key: K): (typeof SETTINGS)[K]['choices'][number] | undefined => {
    const { variable, choices, expected } = SETTINGS[key]
    const fromEnv = env[variable]
    if (fromEnv) return oneOf(choices, fromEnv, variable, expected)
    if (!file || !(key in file.values)) return undefined
    return oneOf(choices, file.values[key], `"${key}" in ${file.path}`, expected)
  }
  const workers = choose('workers') ?? byDefault.workers
  return {
    engine: choose('engine') ?? byDefault.engine,
    workers: workers === 'auto' ? maxWorkers() : Number(workers),
    logLevel: choose('log-level') ?? byDefault.logLevel,
    drainMs: chooseDrain(env, file) ?? byDefault.drainMs,
    metrics: chooseMetrics(env, file) ?? byDefault.metrics,
    port: choosePortOptions(env, file, byDefault.port),
  }
}

/** @returns milliseconds; undefined if it is set nowhere @throws SettingError */
function chooseDrain(env: NodeJS.ProcessEnv, file: SettingsFile | undefined): number | undefined {
  return chooseParsed(env[DRAIN_VARIABLE], DRAIN_VARIABLE, DRAIN_KEY, file, {
    parse: (text) => (text === 'off' ? 0 : parseDrain(text)),
    expected: `${DRAIN_EXPECTED}, or off`,
  })
}

/** @returns undefined if it is set nowhere @throws SettingError */
function chooseMetrics(
  env: NodeJS.ProcessEnv,
  file: SettingsFile | undefined,
): SocketAddress | undefined {
  return chooseParsed(env[METRICS_VARIABLE], METRICS_VARIABLE, METRICS_KEY, file, {
    parse: parseAddress,
    expected: 'IP:PORT, for example 127.0.0.1:9464',
  })
}

/** @param parse returns undefined for a text that is not accepted @throws SettingError */
function chooseParsed<Value>(
  fromEnv: string | undefined,
  variable: string,
  key: string,
  file: SettingsFile | undefined,
  { parse, expected }: { parse: (text: string) => Value | undefined; expected: string },
): Value | undefined {
  const given: unknown = fromEnv ? fromEnv : file?.values[key]
  if (given === undefined) return undefined
  const value = typeof given === 'string' ? parse(given) : undefined
  if (value !== undefined) return value
  throw invalidSetting(given, fromEnv ? variable : `"${key}" in ${file?.path ?? ''}`, expected)
}

/** @throws SettingError */
function choosePortOptions(
  env: NodeJS.ProcessEnv,
  file: SettingsFile | undefined,
  byDefault: PortOptions,
): PortOptions {
  const texts: Record<string, string> = {}
  const sources: Record<string, string> = {}
  for (const name of OPTION_NAMES) {
    const fromEnv = env[optionVariable(name)]
    const fromFile = file?.values[name]
    if (fromEnv) {
      texts[name] = fromEnv
      sources[name] = optionVariable(name)
    } else if (fromFile !== undefined) {
      // A number may be written as a JSON number. Other values are no text of an option, and are refused.
      texts[name] = typeof fromFile === 'string' ? fromFile : JSON.stringify(fromFile)
      sources[name] = `"${name}" in ${file?.path ?? ''}`
    }
  }
  if (Object.keys(texts).length === 0) return byDefault
  try {
    return parsePortOptions(texts, String, byDefault)
  } catch (err) {
    if (!(err instanceof PortOptionError) || !err.fault) throw err
    const { name, given, expected } = err.fault
    throw invalidSetting(given, sources[name] ?? name, expected)
  }
}

/**
 * Parses the number of threads from a command-line option.
 * @param option its name, for the error message
 * @throws SettingError
 */
export function parseWorkers(given: string, option: string): string {
  return oneOf(WORKERS, given, option, SETTINGS.workers.expected)
}

function maxWorkers(): number {
  return Math.min(MAX_THREADS, availableParallelism())
}

function oneOf<T extends string>(
  choices: readonly T[],
  value: unknown,
  source: string,
  expected = `one of ${choices.join(', ')}`,
): T {
  // A number in the file may be written as a JSON number.
  const choice = choices.find((c) => c === (typeof value === 'number' ? String(value) : value))
  if (choice !== undefined) return choice
  throw invalidSetting(value, source, expected)
}

function invalidSetting(value: unknown, source: string, expected: string): SettingError {
  return new SettingError(`invalid setting ${JSON.stringify(value)} for ${source}: use ${expected}`)
}

/** A settings file, parsed. */
export interface SettingsFile {
  readonly path: string
  readonly values: Record<string, unknown>
}

/**
 * Reads a settings file.
 * @param chosen its path; undefined or empty for the default file, which may be absent
 * @param realPath where this process finds it, if another process has named it
 * @param isRootsOptional whether the default file may be one that only root can read. It then counts as absent.
 * @throws SettingError
 */
export function readSettingsFile(
  chosen: string | undefined,
  realPath = chosen,
  { isRootsOptional = true } = {},
): SettingsFile | undefined {
  const path = chosen ? chosen : DEFAULT_FILE
  let text: string
  try {
    text = readFileSync(realPath ? realPath : DEFAULT_FILE, 'utf8')
  } catch (err) {
    const absent = ['ENOENT', 'ENOTDIR', ...(isRootsOptional ? ['EACCES'] : [])]
    if (!chosen && absent.includes(errnoCode(err) ?? '')) return undefined
    const advice =
      errnoCode(err) === 'EACCES'
        ? `let user ${process.geteuid?.()} read it, and its folder`
        : `repair or remove it${chosen ? `, or unset ${FILE_VARIABLE}` : ''}`
    throw new SettingError(
      `can't read the settings file ${JSON.stringify(path)}: ${errnoReason(err)}; ${advice}`,
    )
  }
  const values = parseObject(path, text)
  const known = [...Object.keys(SETTINGS), DRAIN_KEY, METRICS_KEY, ...OPTION_NAMES]
  const unknown = Object.keys(values).find((key) => !known.includes(key))
  if (unknown !== undefined) {
    throw new SettingError(
      `unknown setting ${JSON.stringify(unknown)} in ${path}: expected ${known.join(', ')}`,
    )
  }
  return { path, values }
}

function parseObject(path: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (err) {
    throw new SettingError(
      `the settings file ${path} is not JSON: ${printable((err as Error).message)}; correct or remove it`,
    )
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SettingError(
      `the settings file ${path} does not contain a JSON object: expected something like {"log-level": "debug"}`,
    )
  }
  return value as Record<string, unknown>
}
