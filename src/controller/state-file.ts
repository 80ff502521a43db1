import { closeSync, fsyncSync, openSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { Type, type Static } from 'typebox'
import { Value } from 'typebox/value'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { lockFolder, type FolderLock } from '../linux/folder-lock.js'
import { replaceFile } from '../linux/replace-file.js'
import { parseIp } from '../linux/sockets/ip-address.js'
import { PortIndex } from '../ports/claims/port-index.js'
import { formatHostPort, MAX_PORT, type HostPort } from '../ports/host-port.js'
import { ProtocolSchema } from '../ports/protocol-schema.js'
import { Refusal } from '../ports/refusal.js'
import { printable } from '../printable.js'
import { parsePortOptions } from '../proxy/port-options.js'
import { PROCESS_ID_PATTERN } from '../supervisor/runtime-record.js'
import { parseBackend } from './publication-request.js'
import { WHEN_STOPPED } from './following.js'
import type { SavedPort, SavedPublication } from './saved-publication.js'

const PortNumber = Type.Integer({ minimum: 1, maximum: MAX_PORT })
/** It names files in the run folder, which are removed: another form could name a file of someone else. */
const ProcessId = Type.String({ pattern: PROCESS_ID_PATTERN })

const PortSchema = Type.Object({
  id: ProcessId,
  protocol: ProtocolSchema,
  hostIp: Type.String(),
  hostPort: PortNumber,
  containerPort: PortNumber,
})

const TargetSchema = Type.Union([
  Type.Object({
    kind: Type.Literal('container'),
    id: Type.String(),
    name: Type.String(),
    compose: Type.Optional(
      Type.Object({ project: Type.String(), service: Type.String(), number: Type.Integer() }),
    ),
  }),
  Type.Object({ kind: Type.Literal('service'), project: Type.String(), service: Type.String() }),
])

const FollowingSchema = Type.Object({
  target: TargetSchema,
  network: Type.Optional(Type.String()),
  whenStopped: Type.Enum([...WHEN_STOPPED]),
  keep: Type.Boolean(),
  labels: Type.Optional(Type.String()),
})

const BackendSchema = Type.Object({
  ip: Type.String(),
  process: Type.Optional(Type.Object({ pid: Type.Integer(), startTime: Type.Integer() })),
})

const PublicationSchema = Type.Object({
  name: Type.String({ minLength: 1 }),
  /** The address of a publication that keeps it; the others have the next two. */
  backend: Type.Optional(Type.String()),
  backends: Type.Optional(Type.Array(BackendSchema)),
  follows: Type.Optional(FollowingSchema),
  via: Type.Optional(Type.Literal('nat')),
  options: Type.Optional(Type.Record(Type.String(), Type.String())),
  created: Type.String(),
  shared: Type.Optional(ProcessId),
  ports: Type.Array(PortSchema),
  retired: Type.Optional(
    Type.Array(Type.Object({ id: ProcessId, until: Type.Optional(Type.Number()) })),
  ),
})

/** The version of the file's format. */
const VERSION = 1
const StateSchema = Type.Object({
  version: Type.Literal(VERSION),
  publications: Type.Array(PublicationSchema),
})

type State = Static<typeof StateSchema>

/** The state can't be read, or another process uses it. The message says what to do. */
class StateError extends Error {
  override readonly name = 'StateError'
  readonly code = 'ESTATE'
}

/**
 * Keeps what is published on disk. Each change is written whole beside the old file, synced, and put in its place: whatever happens, one
 * of the two exists, and is complete.
 */
export class StateFile {
  readonly path: string
  readonly #folder: string
  readonly #lock: FolderLock

  /**
   * Opens the state of a folder for this process alone.
   * @param program names this process in messages
   * @throws Error if another process uses it, or the folder can't be used
   */
  constructor(folder: string, program: string) {
    this.#folder = folder
    this.path = join(folder, 'state.json')
    this.#lock = lockFolder(folder, program, '--data-root')
  }

  /** @throws StateError if the file is not a state file */
  load(): SavedPublication[] {
    let text: string
    try {
      text = readFileSync(this.path, 'utf8')
    } catch (err) {
      if (errnoCode(err) === 'ENOENT') return []
      throw new StateError(`can't read ${this.path}: ${errnoReason(err)}`)
    }
    try {
      return parseState(text).publications.map(fromFile)
    } catch (err) {
      throw new StateError(
        `${this.path} is not a state file of version ${VERSION}: ${(err as Error).message}; repair it, or move it away to start with nothing published`,
      )
    }
  }

  /** @throws Refusal; the file is unchanged then */
  save(publications: readonly SavedPublication[]): void {
    const state: State = {
      version: VERSION,
      publications: publications.map(toFile),
    }
    try {
      replaceFile(this.path, JSON.stringify(state, null, 2) + '\n')
      syncFolder(dirname(this.path))
    } catch (err) {
      throw new Refusal(
        'state-not-saved',
        `can't save the state in ${this.#folder}: ${errnoReason(err)}`,
      )
    }
  }

  /** Lets another process use the state. */
  close(): void {
    this.#lock.unlock()
  }
}

/** @throws Error that says why a text is not the state of this version */
function parseState(text: string): State {
  let state: unknown
  try {
    state = JSON.parse(text)
  } catch (err) {
    throw new Error(`it is not JSON (${printable((err as Error).message)})`, { cause: err })
  }
  const reason = whyNoState(state)
  if (reason !== undefined) throw new Error(reason)
  return state as State
}

/** Why a value is not the state of this version; undefined if it is. */
function whyNoState(state: unknown): string | undefined {
  const { version } = (state ?? {}) as { version?: unknown }
  if (typeof version === 'number' && version > VERSION) {
    return `it has version ${version}, of a newer release`
  }
  const [fault] = Value.Errors(StateSchema, state)
  if (fault) return `${fault.instancePath || 'it'} ${fault.message}`
  const { publications } = state as State
  return (
    findRepeated(
      'the name',
      publications.map(({ name }) => name),
    ) ??
    findRepeated(
      'the id',
      publications.flatMap(({ shared, ports }) => [
        ...(shared === undefined ? [] : [shared]),
        ...ports.map(({ id }) => id),
      ]),
    ) ??
    publications.map(whyInvalid).find((reason) => reason !== undefined) ??
    findOverlap(publications)
  )
}

/** Two publications may not have the same port, nor one of them a port on all addresses that the other has on one. */
function findOverlap(publications: State['publications']): string | undefined {
  const index = new PortIndex<HostPort>()
  for (const { protocol, hostIp, hostPort } of publications.flatMap(({ ports }) => ports)) {
    const port = { protocol, ip: parseIp(hostIp) ?? hostIp, port: hostPort }
    if (index.find(port)) return `it has the port ${formatHostPort(port)} more than once`
    index.add(port)
  }
  return undefined
}

function findRepeated(what: string, values: readonly string[]): string | undefined {
  const seen = new Set<string>()
  const repeated = values.find((value) => {
    if (seen.has(value)) return true
    seen.add(value)
    return false
  })
  return repeated === undefined ? undefined : `it has ${what} ${JSON.stringify(repeated)} twice`
}

/** Why a publication can't be continued; undefined if it can. */
function whyInvalid({
  name,
  backend,
  backends = [],
  follows,
  created,
  options = {},
  ports,
}: State['publications'][number]): string | undefined {
  const where = `the publication ${JSON.stringify(name)}`
  if (Number.isNaN(Date.parse(created))) return `${where} has the date ${JSON.stringify(created)}`
  const wrong = ports.find(({ hostIp }) => parseIp(hostIp) === undefined)?.hostIp
  if (wrong !== undefined) return `${where} has the address ${JSON.stringify(wrong)}`
  if ((backend === undefined) !== (follows !== undefined)) {
    return `${where} needs either a backend, or a container that it follows`
  }
  try {
    parsePortOptions(options, (name) => `option ${name}`)
    // The engine has given the others.
    if (backend !== undefined) parseBackend(backend)
    const strange = backends.find(({ ip }) => parseIp(ip) === undefined)?.ip
    return strange === undefined ? undefined : `${where} has the address ${JSON.stringify(strange)}`
  } catch (err) {
    return `${where} has an ${(err as Error).message}`
  }
}

function fromFile({
  ports,
  backend,
  backends = [],
  ...publication
}: Static<typeof PublicationSchema>): SavedPublication {
  const saved = ports.map(({ id, protocol, hostIp, hostPort, containerPort }): SavedPort => ({
    ...{ id, protocol, ip: hostIp, port: hostPort, containerPort },
  }))
  return {
    ...publication,
    backends: backend === undefined ? backends : [{ ip: backend }],
    ports: saved,
  }
}

function toFile({
  ports,
  backends,
  retired,
  ...publication
}: SavedPublication): Static<typeof PublicationSchema> {
  const saved = ports.map(({ id, protocol, ip, port, containerPort }) => ({
    ...{ id, protocol, hostIp: ip, hostPort: port, containerPort },
  }))
  const [{ ip } = { ip: '' }] = backends
  const where = publication.follows ? { backends: [...backends] } : { backend: ip }
  return { ...publication, ...where, ports: saved, ...(retired && { retired: [...retired] }) }
}

/** A rename is on disk only after its folder is synced, see fsync(2). */
function syncFolder(path: string): void {
  const folder = openSync(path, 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
