import { readFileSync, readlinkSync, statSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { isAbsolute } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { MAX_THREADS } from './engine-share.js'
import { LOG_LEVELS, type LogLevel } from '../log/log.js'

const ENGINES = ['auto', 'streams', 'native'] as const
const WORKERS = ['auto', ...Array.from({ length: MAX_THREADS }, (_, i) => String(i + 1))]
type EngineChoice = (typeof ENGINES)[number]
const ISOLATIONS = ['auto', 'process', 'shared'] as const
type Isolation = (typeof ISOLATIONS)[number]
const ISOLATION_VARIABLE = 'DOCKER_PROXY_ISOLATION'

/** What dockerd's flags can't say; from the environment or the settings file. */
export interface Settings {
  readonly engine: EngineChoice
  readonly logLevel: LogLevel
  /** Threads that may move data, when there is too much for one. */
  readonly workers: number
}

/**
 * Whether a port may have a process of its own, `process`, or must share one, `shared`. From the environment alone: the launcher, which
 * sees to it, reads no file.
 * @throws SettingError
 */
export function readIsolation(env: NodeJS.ProcessEnv): Isolation {
  const text = env[ISOLATION_VARIABLE]
  return text ? oneOf(ISOLATIONS, text, ISOLATION_VARIABLE) : 'auto'
}

/** A setting that can't be followed; the message says which, what is expected and where it came from. */
export class SettingError extends Error {
  override readonly name = 'SettingError'
  readonly code = 'EBADSETTING'
}

const FILE_VARIABLE = 'DOCKER_PROXY_CONFIG'
const DEFAULT_FILE = '/etc/docker/docker-proxy.json'
/** No settings need as much, bytes. */
const MAX_FILE = 64 * 1024

/** Each setting: its key in the file, its environment variable, and what it may be. */
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
/** All variables that settings may come from. */
export const SETTING_VARIABLES = [
  FILE_VARIABLE,
  ...Object.values(SETTINGS).map(({ variable }) => variable),
]

/**
 * The environment's settings, then the file's, then the defaults. An empty variable counts as unset.
 * The file is `DOCKER_PROXY_CONFIG`, or /etc/docker/docker-proxy.json where that exists.
 * @throws SettingError
 */
export function readSettings(env: NodeJS.ProcessEnv): Settings {
  return chooseSettings(env, readSettingsFile(env[FILE_VARIABLE]), {
    engine: 'auto',
    logLevel: 'info',
    workers: maxWorkers(),
  })
}

/**
 * The settings of a port that another process was started for: those of its environment and of the file that this names, and else ours.
 * @param process its folder in /proc
 * @throws SettingError
 */
export function readPortSettings(
  env: NodeJS.ProcessEnv,
  process: string,
  ours: Settings,
): Settings {
  if (!SETTING_VARIABLES.some((name) => env[name])) return ours
  const name = env[FILE_VARIABLE]
  return chooseSettings(env, name ? readForeignFile(name, process) : undefined, ours)
}

/** A file as another process names it, where it is none that would hold up all other ports. */
function readForeignFile(name: string, process: string): SettingsFile | undefined {
  const path = isAbsolute(name) ? name : `${process}/cwd/${name}`
  const [theirs, ours] = [process, '/proc/self'].map((each) => readlinkSync(`${each}/ns/mnt`))
  const stats = statSync(path, { throwIfNoEntry: false })
  if (theirs !== ours || !stats?.isFile() || stats.size > MAX_FILE) {
    throw new SettingError(`its own settings file ${JSON.stringify(name)} is to be read by itself`)
  }
  return readSettingsFile(path)
}

function chooseSettings(
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
  }
}

/**
 * How many threads may share the work, as an option of the command line says it.
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
  // In the file a number may stand as one.
  const choice = choices.find((c) => c === (typeof value === 'number' ? String(value) : value))
  if (choice !== undefined) return choice
  throw new SettingError(`invalid setting ${JSON.stringify(value)} for ${source}: use ${expected}`)
}

interface SettingsFile {
  readonly path: string
  readonly values: Record<string, unknown>
}

function readSettingsFile(chosen: string | undefined): SettingsFile | undefined {
  const path = chosen ? chosen : DEFAULT_FILE
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch (err) {
    // Where /etc/docker is root's alone, others have no settings there.
    if (!chosen && ['ENOENT', 'EACCES', 'ENOTDIR'].includes(errnoCode(err) ?? '')) return undefined
    throw new SettingError(
      `can't read the settings file ${JSON.stringify(path)}: ${errnoReason(err)}; ` +
        `mend or remove it${chosen ? `, or unset ${FILE_VARIABLE}` : ''}`,
    )
  }
  const values = parseObject(path, text)
  const unknown = Object.keys(values).find((key) => !Object.hasOwn(SETTINGS, key))
  if (unknown !== undefined) {
    throw new SettingError(
      `unknown setting ${JSON.stringify(unknown)} in ${path}: ` +
        `expected ${Object.keys(SETTINGS).join(' or ')}`,
    )
  }
  return { path, values }
}

function parseObject(path: string, text: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (err) {
    throw new SettingError(`the settings file ${path} is not JSON: ${(err as Error).message}`)
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new SettingError(
      `the settings file ${path} holds no JSON object: expected something like {"log-level": "debug"}`,
    )
  }
  return value as Record<string, unknown>
}
