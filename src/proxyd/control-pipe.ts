import { readSync } from 'node:fs'
import { EPOLL } from '../linux/constants.js'
import type { NodePoller } from '../linux/node-poller.js'
import { errnoCode } from '../linux/errno.js'

/** What a launcher asks for. */
interface LauncherRequest {
  readonly kind: 'start' | 'stop'
  readonly pid: number
}

/** A request that has no end by then is none, bytes; the kernel writes shorter ones at once, see pipe(7). */
const MAX_LINE = 512
const BLOCK = 4096

export interface ControlPipeEvents {
  readonly request: (request: LauncherRequest) => void
  /** Called with what is no request. */
  readonly refused: (line: string) => void
  readonly failed: (err: unknown) => void
}

/**
 * Reads what launchers write to the control pipe. Whatever is not wanted yet stays in the pipe, for who reads it next: Node's own
 * streams read ahead.
 */
export class ControlPipe {
  readonly #buffer = Buffer.alloc(BLOCK)
  #rest = ''
  #isWatched = false

  /** @param fd open for both, and not blocking */
  constructor(
    private readonly poller: NodePoller,
    private readonly fd: number,
    private readonly events: ControlPipeEvents,
  ) {}

  /** @throws SystemError `ENOMEM`, `ENOSPC` */
  resume(): void {
    this.poller.add(this.fd, EPOLL.IN, {
      ready: () => this.#read(),
      fail: (err) => this.events.failed(err),
    })
    this.#isWatched = true
  }

  pause(): void {
    if (this.#isWatched) this.poller.forget(this.fd)
    this.#isWatched = false
  }

  /** Once for each event: what is left has its own, and to be told by an error that nothing is takes long. */
  #read(): void {
    const length = this.#readBlock()
    const lines = (this.#rest + this.#buffer.toString('latin1', 0, length)).split('\n')
    this.#rest = lines.pop() ?? ''
    for (const line of lines) this.#take(line)
    if (this.#rest.length <= MAX_LINE) return
    this.events.refused(this.#rest)
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

  #take(line: string): void {
    // Launchers begin with an end, so that what somebody else has left without one does no harm.
    if (line === '') return
    const [, kind, pid] = /^(start|stop) ([1-9]\d{0,9})$/.exec(line) ?? []
    if (kind === 'start' || kind === 'stop') this.events.request({ kind, pid: Number(pid) })
    else this.events.refused(line)
  }
}
