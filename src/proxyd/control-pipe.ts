import { readSync } from 'node:fs'
import { errnoCode } from '../linux/errno.js'
import { EPOLL } from '../linux/ffi/constants.js'
import type { NodePoller } from '../linux/sockets/node-poller.js'

/** A launcher's request. */
interface LauncherRequest {
  readonly kind: 'start' | 'stop'
  readonly pid: number
}

/** The longest request, bytes. The kernel writes shorter ones atomically, see pipe(7). */
const MAX_REQUEST = 512
/** Bytes of one read. */
const BLOCK_SIZE = 4096

export interface ControlPipeEvents {
  readonly request: (request: LauncherRequest) => void
  /** A line that is not a request. */
  readonly invalid: (line: string) => void
  readonly failed: (err: unknown) => void
}

/**
 * Reads the requests that launchers write to the control pipe. While it is paused, requests stay in the pipe for the next reader. Node's
 * own streams would read ahead.
 */
export class ControlPipe {
  readonly #buffer = Buffer.alloc(BLOCK_SIZE)
  #rest = ''
  #isWatched = false

  /** @param fd open for reading and writing, non-blocking */
  constructor(
    private readonly poller: NodePoller,
    private readonly fd: number,
    private readonly events: ControlPipeEvents,
  ) {}

  /** @throws SystemError `ENOMEM`, `ENOSPC` */
  resume(): void {
    this.poller.watch(this.fd, EPOLL.IN, {
      onReady: () => this.#read(),
      onError: (err) => this.events.failed(err),
    })
    this.#isWatched = true
  }

  pause(): void {
    if (this.#isWatched) this.poller.unwatch(this.fd)
    this.#isWatched = false
  }

  /** Reads once per event. If requests are left, another event follows; reading until EAGAIN would cost an exception each time. */
  #read(): void {
    const length = this.#readBlock()
    const lines = (this.#rest + this.#buffer.toString('latin1', 0, length)).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#handleLine(line)
    if (this.#rest.length <= MAX_REQUEST) return
    this.events.invalid(this.#rest)
    this.#rest = ''
  }

  #readBlock(): number {
    try {
      return readSync(this.fd, this.#buffer)
    } catch (err) {
      if (errnoCode(err) === 'EAGAIN') return 0
      throw err
    }
  }

  #handleLine(line: string): void {
    // Launchers begin with a line feed, in case another writer has left a line without one.
    if (line === '') return
    const [, kind, pid] = /^(start|stop) ([1-9]\d{0,9})$/.exec(line) ?? []
    if (kind === 'start' || kind === 'stop') this.events.request({ kind, pid: Number(pid) })
    else this.events.invalid(line)
  }
}
