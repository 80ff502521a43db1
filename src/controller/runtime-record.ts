import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { errnoCode } from '../linux/errno.js'
import { bootId, processStartTime, processVariables } from '../linux/process.js'

/*
 * What runs for each port, noted in the run folder, so that a daemon that comes later finds it:
 *
 *     ID.pid    the proxy's pid, written by its shim before the proxy begins
 *     ID.exit   its exit status, written by its shim when it has ended
 *     ID.json   this record, written by the daemon once the proxy is ready
 *     ID.socket where one that serves all ports of a publication tells of them
 */

/** A process by its pid and start time, which together are never given twice in one boot. */
export interface ProcessIdentity {
  readonly pid: number
  readonly startTime: number
}

/** A proxy that is ready. */
export interface RuntimeRecord {
  readonly bootId: string
  readonly proxy: ProcessIdentity
  readonly shim: ProcessIdentity
  /** Name the listening sockets, in the order of the ports; none where the proxy opened its own. */
  readonly socketInodes: readonly number[]
}

/** The variable that tells for which port a proxy was started: the run folder and the port's id. */
export const PORT_VARIABLE = 'DOCKER_PUBLISH_PORT'

/** The run folder's files of one port. */
export class RuntimeFiles {
  readonly base: string

  constructor(runFolder: string, id: string) {
    this.base = join(runFolder, id)
  }

  /** Where one that serves several ports tells of them. */
  get socketPath(): string {
    return `${this.base}.socket`
  }

  /** The exit status of a proxy that has ended; over 128 it is a signal's number and 128. */
  exitStatus(): number | undefined {
    return this.#number('exit')
  }

  /** The process that is, or was about to become, the port's proxy. */
  proxy(): ProcessIdentity | undefined {
    const pid = this.#number('pid')
    return pid !== undefined && this.#isOurs(pid) ? identify(pid) : undefined
  }

  /** The record of a proxy that is still the one we started; undefined when it has gone. */
  liveRecord(): RuntimeRecord | undefined {
    const text = this.#read('json')
    if (text === undefined) return undefined
    let record: RuntimeRecord
    try {
      record = JSON.parse(text) as RuntimeRecord
    } catch {
      return undefined // Cut off, as by a full disk.
    }
    const { proxy } = record
    if (record.bootId !== bootId() || !isAlive(proxy)) return undefined
    return this.#isOurs(proxy.pid) ? record : undefined
  }

  save(record: RuntimeRecord): void {
    writeFileSync(`${this.base}.json`, JSON.stringify(record), { mode: 0o600 })
  }

  remove(): void {
    for (const kind of ['json', 'pid', 'exit', 'socket'])
      rmSync(`${this.base}.${kind}`, { force: true })
  }

  /** Whether a process was started for this port; ids are never given twice, so it is the one. */
  #isOurs(pid: number): boolean {
    return processVariables(pid, [PORT_VARIABLE])[PORT_VARIABLE] === this.base
  }

  #number(kind: string): number | undefined {
    const text = this.#read(kind)?.trim() ?? ''
    return /^\d+$/.test(text) ? Number(text) : undefined
  }

  /** Undefined for a file that is not there; throws when that can't be told, as without a descriptor left. */
  #read(kind: string): string | undefined {
    try {
      return readFileSync(`${this.base}.${kind}`, 'utf8')
    } catch (err) {
      if (errnoCode(err) === 'ENOENT') return undefined
      throw err
    }
  }
}

/** The ids of all ports that the run folder has files of. */
export function runtimeIds(runFolder: string): string[] {
  const ids = readdirSync(runFolder).flatMap(
    (name) => /^(.+)\.(json|pid|exit|socket)$/.exec(name)?.[1] ?? [],
  )
  return [...new Set(ids)]
}

export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid)
  return startTime === undefined ? undefined : { pid, startTime }
}

/** Whether the process runs; it does as long as nobody can tell otherwise. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  try {
    return processStartTime(pid) === startTime
  } catch {
    return true
  }
}
