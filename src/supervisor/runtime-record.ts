import { randomUUID } from 'node:crypto'
import { existsSync, lstatSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { errnoCode } from '../linux/errno.js'
import { OWNER_ONLY } from '../linux/file-modes.js'
import { identify, isAlive, type ProcessIdentity } from '../linux/proc/process-identity.js'
import { bootId, processIds, processVariables } from '../linux/proc/process.js'

/*
 * The files of each process in the run folder, by which a later daemon finds the process:
 *
 *     ID.pid     the proxy's pid, written by its shim before the proxy starts
 *     ID.exit    its exit status, written by its shim when the proxy has ended
 *     ID.json    this record, written by the daemon once the proxy is ready
 *     ID.socket  the proxy's status socket
 */

/** The form of the ids that name these files: a UUID, so that files of others in the same folder are never taken for ours. */
export const PROCESS_ID_PATTERN = '^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$'
const PROCESS_ID = new RegExp(PROCESS_ID_PATTERN)

/** Makes the id of a process. Ids are never used twice. */
export function newProcessId(): string {
  return randomUUID()
}

/** Describes a process that is ready. */
export interface RuntimeRecord {
  readonly bootId: string
  readonly proxy: ProcessIdentity
  readonly shim: ProcessIdentity
  /** Inodes of the listening sockets, in the order of the ports; empty if the proxy has bound its port itself. */
  readonly socketInodes: readonly number[]
}

/** The environment variable that names the port of a proxy: the run folder and the id. */
export const PORT_VARIABLE = 'DOCKER_PUBLISH_PORT'

const KINDS = ['json', 'pid', 'exit', 'socket'] as const

/** The files of one process in the run folder. */
export class RuntimeFiles {
  readonly base: string

  constructor(runFolder: string, id: string) {
    this.base = join(runFolder, id)
  }

  /** The path of its status socket. */
  get socketPath(): string {
    return `${this.base}.socket`
  }

  /** The exit status of a proxy that has ended; above 128 it is a signal's number plus 128. */
  exitStatus(): number | undefined {
    return this.#number('exit')
  }

  /** The process that is the proxy, or was about to become it. */
  proxy(): ProcessIdentity | undefined {
    const pid = this.#number('pid')
    return pid !== undefined && this.#isOurs(pid) ? identify(pid) : undefined
  }

  /** The record of a proxy that still runs; undefined if it has ended. */
  liveRecord(): RuntimeRecord | undefined {
    const text = this.#read('json')
    if (text === undefined) return undefined
    let record: RuntimeRecord
    try {
      record = JSON.parse(text) as RuntimeRecord
    } catch {
      return undefined // Cut off, for example by a full disk.
    }
    const { proxy } = record
    if (record.bootId !== bootId() || !isAlive(proxy)) return undefined
    return this.#isOurs(proxy.pid) ? record : undefined
  }

  save(record: RuntimeRecord): void {
    writeFileSync(`${this.base}.json`, JSON.stringify(record), { mode: OWNER_ONLY })
  }

  /** Whether there is any of its files: an orderly end removes them. */
  areThere(): boolean {
    return KINDS.some((kind) => existsSync(`${this.base}.${kind}`))
  }

  remove(): void {
    for (const kind of KINDS) rmSync(`${this.base}.${kind}`, { force: true })
  }

  /** Whether a process was started for this id. */
  #isOurs(pid: number): boolean {
    return processVariables(pid, [PORT_VARIABLE])[PORT_VARIABLE] === this.base
  }

  #number(kind: string): number | undefined {
    const text = this.#read(kind)?.trim() ?? ''
    return /^\d+$/.test(text) ? Number(text) : undefined
  }

  /** @returns undefined if there is no such file @throws SystemError if it can't be read, for example without a free descriptor */
  #read(kind: string): string | undefined {
    try {
      return readFileSync(`${this.base}.${kind}`, 'utf8')
    } catch (err) {
      if (errnoCode(err) === 'ENOENT') return undefined
      throw err
    }
  }
}

/** The start of each record. */
const RECORD_START = '{"bootId":'

/** Whether a file has our format. A full disk may have cut it off. */
const IS_OURS: Readonly<Record<string, (path: string) => boolean>> = {
  pid: isNumberFile,
  exit: isNumberFile,
  json(path) {
    const text = readFileSync(path, 'utf8')
    return text.startsWith(RECORD_START) || RECORD_START.startsWith(text)
  },
  socket: (path) => lstatSync(path).isSocket(),
}

/**
 * The ids of all processes with files in the run folder. Files of others stay: only a name and a format of ours count.
 * @throws SystemError if the folder can't be read
 */
export function runtimeIds(runFolder: string): string[] {
  const ids = readdirSync(runFolder).filter((name) => {
    const [id = '', kind = '', ...more] = name.split('.')
    return more.length === 0 && PROCESS_ID.test(id) && isOurFile(kind, join(runFolder, name))
  })
  return [...new Set(ids.map((name) => name.slice(0, name.indexOf('.'))))]
}

function isOurFile(kind: string, path: string): boolean {
  const isOurs = Object.hasOwn(IS_OURS, kind) ? IS_OURS[kind] : undefined
  try {
    return isOurs?.(path) ?? false
  } catch {
    return false // It is a folder, or has gone meanwhile.
  }
}

function isNumberFile(path: string): boolean {
  return /^\d*\n?$/.test(readFileSync(path, 'utf8'))
}

/** Processes that were started for ids of this run folder, although it has no files of these ids: somebody has emptied it. */
export function orphans(runFolder: string): ProcessIdentity[] {
  const known = new Set(runtimeIds(runFolder))
  return processIds().flatMap((pid) => {
    const base = processVariables(pid, [PORT_VARIABLE])[PORT_VARIABLE] ?? ''
    const isOrphan = dirname(base) === runFolder && !known.has(basename(base))
    return isOrphan ? (identify(pid) ?? []) : []
  })
}
