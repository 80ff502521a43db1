import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import { closeSync, fsyncSync, openSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { replaceFile } from '../linux/replace-file.js'
import { ProtocolSchema } from './api/types.js'
import { Refusal } from './conflict.js'
import { lockFolder, type FolderLock } from '../linux/folder-lock.js'

const PortNumber = Type.Integer({ minimum: 1, maximum: 65_535 })

const SavedPortSchema = Type.Object({
  /** Names the port's files in the run folder. */
  id: Type.String({ pattern: '^[\\w-]+$' }),
  protocol: ProtocolSchema,
  hostIp: Type.String(),
  hostPort: PortNumber,
  containerPort: PortNumber,
})
export type SavedPort = Static<typeof SavedPortSchema>

const SavedPublicationSchema = Type.Object({
  name: Type.String({ minLength: 1 }),
  backend: Type.String(),
  /** ISO 8601. */
  created: Type.String(),
  /** Names the files of the one process that serves all ports; left out, each port has a process and files of its own. */
  shared: Type.Optional(Type.String({ pattern: '^[\\w-]+$' })),
  ports: Type.Array(SavedPortSchema),
})
/** A publication as it is kept. */
export type SavedPublication = Static<typeof SavedPublicationSchema>

const VERSION = 1
const StateSchema = Type.Object({
  version: Type.Literal(VERSION),
  publications: Type.Array(SavedPublicationSchema),
})

/** The state can't be read or is another's; the message says what to do. */
class StateError extends Error {
  override readonly name = 'StateError'
  readonly code = 'ESTATE'
}

/**
 * What is published, on disk. Each change is written whole beside the old file, synced, and put in its place,
 * so that whatever happens one of the two is there, and whole.
 */
export class StateFile {
  readonly path: string
  readonly #folder: string
  readonly #lock: FolderLock

  /**
   * Opens the folder's state for this process alone.
   * @throws Error when another has it, or the folder can't be used
   */
  constructor(folder: string) {
    this.#folder = folder
    this.path = join(folder, 'state.json')
    this.#lock = lockFolder(folder, 'docker-publish daemon', '--data-root')
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
      const state: unknown = JSON.parse(text)
      if (Value.Check(StateSchema, state)) return state.publications
    } catch {
      // As bad as another version.
    }
    throw new StateError(
      `${this.path} is not a state of version ${VERSION}: move it away to begin with nothing published`,
    )
  }

  /** @throws Refusal; the file is as it was then */
  save(publications: readonly SavedPublication[]): void {
    try {
      replaceFile(this.path, JSON.stringify({ version: VERSION, publications }, null, 2) + '\n')
      syncFolder(dirname(this.path))
    } catch (err) {
      throw new Refusal(
        'state-not-saved',
        `can't save the state in ${this.#folder}: ${errnoReason(err)}`,
      )
    }
  }

  /** Forgets everything. It takes no room, so a full disk can't prevent it. */
  clear(): void {
    rmSync(this.path, { force: true })
    syncFolder(this.#folder)
  }

  /** Lets another process have the state. */
  close(): void {
    this.#lock.unlock()
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
