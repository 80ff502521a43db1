import type { Readable } from 'node:stream'
import { errnoReason } from '../linux/errno.js'
import { lineStream } from '../log/line-stream.js'
import { LEVEL_NUMBERS } from '../log/log.js'
import type { LogLine } from '../log/log-tail.js'
import { formatHostPort } from '../ports/host-port.js'
import { readLog, type LogRequest } from '../status/own-log.js'
import { inParallel } from '../supervisor/in-parallel.js'
import type { PortServer } from '../supervisor/port-server.js'

/** Processes that are asked at the same time for the lines that they keep. */
const READS_AT_ONCE = 32

/** The processes of a publication. */
interface LoggingProcesses {
  readonly servers: readonly PortServer[]
  /** The status sockets of processes that have been replaced. */
  readonly retired: readonly string[]
  /** Resolves when no process is left. */
  readonly stopped: Promise<void>
}

/**
 * The log of the processes of a publication, as lines of JSON: the lines that they keep, in the order of their times, and those that follow,
 * also of processes that start meanwhile.
 */
export function publicationLog(processes: LoggingProcesses, request: LogRequest): Readable {
  return lineStream((push, end) => {
    const reading = new LogReading((line) => push(JSON.stringify(line) + '\n'))
    // The reader learns at once that it is served.
    push('\n')
    void reading
      .start(processes, request)
      .then(() => (request.follows ? processes.stopped : undefined))
      .then(end)
    return () => reading.end()
  })
}

class LogReading {
  readonly #ended = new AbortController()
  /** The lines until all processes have been read; undefined from then on. */
  #kept: LogLine[] | undefined = []

  constructor(private readonly push: (line: LogLine) => void) {}

  /** Resolves when all lines that are kept are pushed. Never rejects. */
  async start({ servers, retired }: LoggingProcesses, request: LogRequest): Promise<void> {
    if (request.follows) for (const server of servers) this.#watch(server)
    const reads = [
      ...servers.map((server) => () => this.#readOf(server, request)),
      ...retired.map((path) => () => this.#read(path, undefined, request)),
    ]
    await inParallel(READS_AT_ONCE, reads, (read) => read())
    const kept = this.#kept ?? []
    this.#kept = undefined
    kept.sort((a, b) => a.time - b.time)
    kept.slice(Math.max(0, kept.length - request.count)).forEach(this.push)
  }

  /** Ends what is read. */
  end(): void {
    this.#ended.abort()
  }

  /** Reads the log of each process that starts. */
  #watch(server: PortServer): void {
    const started = (): void => void this.#readOf(server, { count: Infinity, follows: true })
    server.supervisor.on('up', started)
    this.#ended.signal.addEventListener('abort', () => server.supervisor.off('up', started))
  }

  #readOf({ statusSocket, ports }: PortServer, request: LogRequest): Promise<void> {
    const [port] = ports.length === 1 ? ports : []
    return this.#read(statusSocket, port && formatHostPort(port), request)
  }

  /**
   * Reads the log of a process. Resolves after the lines that it keeps. Never rejects.
   * @param path of its status socket
   * @param port its only port, which lines may lack
   */
  #read(path: string, port: string | undefined, request: LogRequest): Promise<void> {
    return new Promise((resolve) => {
      const read = async (): Promise<void> => {
        for await (const line of readLog(path, request, this.#ended.signal)) {
          if (line === undefined) resolve()
          else this.#add(port === undefined ? line : { ...line, port })
        }
      }
      read()
        .catch((err: unknown) => {
          const msg = `Can't read the log of a proxy: ${errnoReason(err)}`
          const level = LEVEL_NUMBERS.warn
          this.#add({ level, time: Date.now(), ...(port === undefined ? {} : { port }), msg })
        })
        .finally(resolve)
    })
  }

  #add(line: LogLine): void {
    if (this.#kept) this.#kept.push(line)
    else this.push(line)
  }
}
