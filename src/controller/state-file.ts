import {
  closeSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { requireLibc } from '../linux/libc.js'
import type { Protocol } from '../proxy/published-port.js'
import { Refusal } from './conflict.js'

/** A publication as it is kept. */
export interface SavedPublication {
  readonly name: string
  readonly backend: string
  /** ISO 8601. */
  readonly created: string
  readonly ports: readonly SavedPort[]
}

export interface SavedPort {
  /** Names the port's files in the run folder. */
  readonly id: string
  readonly protocol: Protocol
  readonly hostIp: string
  readonly hostPort: number
  readonly containerPort: number
}

/** The state can't be read or is another's; the message says what to do. */
class StateError extends Error {
  override readonly name = 'StateError'
  readonly code = 'ESTATE'
}

const VERSION = 1

/**
 * What is published, on disk. Each change is written whole beside the old file, synced, and put in its place,
 * so that whatever happens one of the two is there, and whole.
 */
export class StateFile {
  readonly path: string
  readonly #folder: string
  readonly #lock: number

  /**
   * Opens the folder's state for this process alone.
   * @throws StateError when another has it, or the folder can't be used
   */
  constructor(folder: string) {
    this.#folder = folder
    this.path = join(folder, 'state.json')
    try {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      this.#lock = openSync(join(folder, 'lock'), 'w', 0o600)
    } catch (err) {
      throw new StateError(
        `can't use the folder ${folder}: ${errnoReason(err)}; name another with --data-root`,
      )
    }
    if (!requireLibc().lock(this.#lock)) {
      closeSync(this.#lock)
      throw new StateError(
        `another docker-publish daemon uses ${folder}: stop it, or name another folder with --data-root`,
      )
    }
  }

  /** @throws StateError for a file that is not one of ours */
  load(): SavedPublication[] {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (err) {
      if (errnoCode(err) === 'ENOENT') return []
      throw new StateError(`can't read ${this.path}: ${errnoReason(err)}`)
    }
    try {
      const { version, publications } = JSON.parse(text) as {
        version: number
        publications: SavedPublication[]
      }
      if (version === VERSION && Array.isArray(publications)) return publications
    } catch {
      // As bad as another version.
    }
    throw new StateError(
      `${this.path} is not a state of version ${VERSION}: move it away to begin with nothing published`,
    )
  }

  /** @throws Refusal; the file is as it was then */
  save(publications: readonly SavedPublication[]): void {
    const next = `${this.path}.new`
    try {
      const file = openSync(next, 'w', 0o600)
      try {
        writeFileSync(file, JSON.stringify({ version: VERSION, publications }, null, 2) + '\n')
        fsyncSync(file)
      } finally {
        closeSync(file)
      }
      renameSync(next, this.path)
      syncFolder(dirname(this.path))
    } catch (err) {
      rmSync(next, { force: true })
      throw new Refusal(
        'state-not-saved',
        `can't save the state in ${this.#folder}: ${errnoReason(err)}`,
      )
    }
  }

  /** Lets another process have the state. */
  close(): void {
    closeSync(this.#lock)
  }
}

/** A rename is only on disk once its folder is, see fsync(2). */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
