import { setMaxListeners } from 'node:events'
import { Readable } from 'node:stream'
import { setTimeout as delay } from 'node:timers/promises'
import pLimit from 'p-limit'
import { deferred } from '../deferred.js'
import { errnoReason } from '../linux/errno.js'
import { LEVEL_NUMBERS } from '../log/log.js'
import type { LogLine, NumberedLine } from '../log/log-tail.js'
import { formatHostPort } from '../ports/host-port.js'
import { followLog, readLog } from '../status/own-log.js'
import type { PortServer } from '../supervisor/port-server.js'

/** Requests for kept lines at the same time, of all readers. A process has places for twice as many. */
const READS_AT_ONCE = 32
/** Pause before the next connection to a process that still runs, milliseconds. */
const RETRY_MS = 1_000
/** Time that a process has to reply, milliseconds. */
const SERVED_MS = 5_000
/** Lines that are sent at once. */
const LINES_AT_ONCE = 100
/** Lines that may wait for a reader. Beyond this number its reading ends. */
const MAX_WAITING = 10_000

/** The lines of a log that a reader wants. */
export interface LogRequest {
  /** The number of earlier lines at most; Infinity for all that are kept. */
  readonly count: number
  /** Whether lines from now on follow. */
  readonly follows: boolean
}

/** A process of a publication. */
interface Source {
  /** Of its status socket. */
  readonly path: string
  /** The server of the ports; undefined for a process that has been replaced. */
  readonly server?: PortServer
}

/** A line for readers. A line of this daemon has no number. */
type ReadLine = NumberedLine | { readonly line: LogLine }

/**
 * The log of the processes of a publication. Each process is followed once, however many readers there are: its orders use the same socket,
 * which has few places.
 */
export class PublicationLog {
  readonly #readers = new Set<(line: ReadLine) => void>()
  /** Ends the connections to processes; undefined without readers. */
  #following: AbortController | undefined
  /** Whether each process that is followed has replied, by its path. */
  readonly #followed = new Map<string, Promise<void>>()
  /** The number of the newest line of each process that is followed, by pid. */
  readonly #newest = new Map<number, number>()
  readonly #reads = pLimit(READS_AT_ONCE)
  readonly #stopped = new AbortController()
  #isStopping = false
  /** Connections to processes. */
  #open = 0

  /**
   * @param servers returns those of the publication
   * @param retired returns the status sockets of processes that have been replaced
   */
  constructor(
    private readonly servers: () => readonly PortServer[],
    private readonly retired: () => readonly string[],
  ) {
    setMaxListeners(0, this.#stopped.signal)
  }

  /** The lines as JSON: those that the processes keep, in the order of their times, and those from now on. */
  read(request: LogRequest): Readable {
    const left = new AbortController()
    const stream = Readable.from(this.#lines(request, left.signal))
    // The stream closes after the generator, and the generator may wait for a line.
    const destroy = stream._destroy.bind(stream)
    stream._destroy = (err, done) => {
      left.abort()
      destroy(err, done)
    }
    return stream
  }

  /** Gives readers the last lines and the end. The publication has no process any more. */
  stop(): void {
    this.#isStopping = true
    this.#stopIfRead()
  }

  #stopIfRead(): void {
    if (!this.#isStopping || this.#open > 0) return
    this.#stopped.abort()
    this.#following?.abort()
  }

  /** @param left ends the lines */
  async *#lines({ count, follows }: LogRequest, left: AbortSignal): AsyncGenerator<string> {
    const live: ReadLine[] = []
    let wake: () => void = () => undefined
    const push = (line: ReadLine): void => {
      if (live.length <= MAX_WAITING) live.push(line)
      wake()
    }
    const end = (): void => wake()
    left.addEventListener('abort', end)
    this.#stopped.signal.addEventListener('abort', end)
    if (follows) this.#follow(push)
    try {
      if (follows) await this.#untilFollowed()
      // Lines with higher numbers come as live lines.
      const before = new Map(this.#newest)
      // The reader learns that it is served.
      yield '\n'
      const isKept = (each: ReadLine): boolean =>
        !('n' in each) ||
        each.n <= (before.get(each.pid) ?? (this.#newest.has(each.pid) ? 0 : Infinity))
      const isLater = (each: ReadLine): boolean =>
        !('n' in each) || each.n > (before.get(each.pid) ?? 0)
      const kept = (await this.#kept()).filter(isKept)
      kept.sort((a, b) => a.line.time - b.line.time)
      yield* pieces(kept.slice(Math.max(0, kept.length - count)))
      while (follows && !left.aborted) {
        const lines = live.splice(0)
        if (lines.length > MAX_WAITING) {
          yield* pieces([ownLine('Lines are missing, and reading ends: the reader is too slow')])
          return
        }
        yield* pieces(lines.filter(isLater))
        if (live.length > 0) continue
        if (this.#stopped.signal.aborted) return
        await new Promise<void>((resolve) => (wake = resolve))
      }
    } finally {
      left.removeEventListener('abort', end)
      this.#stopped.signal.removeEventListener('abort', end)
      this.#unfollow(push)
    }
  }

  get #sources(): Source[] {
    return [...this.servers().map(sourceOf), ...this.retired().map((path) => ({ path }))]
  }

  /** Resolves when the processes have replied, or have not within five seconds. */
  async #untilFollowed(): Promise<void> {
    const late = delay(SERVED_MS, undefined, { ref: false })
    await Promise.race([Promise.all(this.#followed.values()), late])
  }

  async #kept(): Promise<ReadLine[]> {
    const read = async (source: Source): Promise<ReadLine[]> => {
      try {
        return (await readLog(source.path)).map((line) => withPort(line, source))
      } catch (err) {
        const own = ownLine(`Can't read the log of a proxy: ${errnoReason(err)}`)
        return [withPort(own, source)]
      }
    }
    const lists = this.#sources.map((source) => this.#reads(() => read(source)))
    return (await Promise.all(lists)).flat()
  }

  #follow(reader: (line: ReadLine) => void): void {
    this.#readers.add(reader)
    if (this.#following) return
    this.#following = new AbortController()
    const { signal } = this.#following
    setMaxListeners(0, signal)
    for (const server of this.servers()) {
      const started = (): void => void this.#followSource(sourceOf(server), 0, signal)
      server.supervisor.on('up', started)
      signal.addEventListener('abort', () => server.supervisor.off('up', started))
    }
    for (const source of this.#sources) void this.#followSource(source, undefined, signal)
  }

  #unfollow(reader: (line: ReadLine) => void): void {
    this.#readers.delete(reader)
    if (this.#readers.size > 0) return
    this.#following?.abort()
    this.#following = undefined
    this.#followed.clear()
    this.#newest.clear()
  }

  /** Never rejects. @param after see followLog */
  async #followSource(
    source: Source,
    after: number | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const pid = source.server?.supervisor.status.pid
    const followed = deferred()
    this.#followed.set(source.path, followed.promise)
    let last = after
    for (;;) {
      this.#open++
      try {
        for await (const line of followLog(source.path, last, signal)) {
          const newest = 'n' in line ? line.n : line.newest
          this.#newest.set(line.pid, newest)
          followed.resolve()
          last = newest
          if (!('n' in line)) continue
          for (const read of this.#readers) read(withPort(line, source))
        }
      } catch {
        // The process has ended.
      }
      followed.resolve()
      this.#open--
      this.#stopIfRead()
      await delay(RETRY_MS, undefined, { ref: false, signal }).catch(() => undefined)
      // A later process has a connection of its own.
      const { server } = source
      const isThere = server?.supervisor.status.pid === pid && server?.statusSocket === source.path
      if (signal.aborted || pid === undefined || !isThere) return
    }
  }
}

function sourceOf(server: PortServer): Source {
  return { path: server.statusSocket, server }
}

function ownLine(msg: string): ReadLine {
  return { line: { level: LEVEL_NUMBERS.warn, time: Date.now(), msg } }
}

/** The line with the only port of its process, which it may lack. */
function withPort<Line extends ReadLine>(line: Line, { server }: Source): Line {
  const [port, ...others] = server?.ports ?? []
  if (!port || others.length > 0) return line
  return { ...line, line: { ...line.line, port: formatHostPort(port) } }
}

function* pieces(lines: readonly ReadLine[]): Generator<string> {
  for (let i = 0; i < lines.length; i += LINES_AT_ONCE) {
    const some = lines.slice(i, i + LINES_AT_ONCE)
    yield some.map(({ line }) => JSON.stringify(line) + '\n').join('')
  }
}
