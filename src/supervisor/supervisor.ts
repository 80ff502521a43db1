import { EventEmitter } from 'node:events'
import { closeSync } from 'node:fs'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { StopOptions } from '../proxy/engine.js'
import { Backoff } from './backoff.js'
import type { ProxyProcess } from './proxy-process.js'

/** The state of a supervised process. `closed`: nothing is served until `open`. */
export type SupervisorState = 'starting' | 'up' | 'restarting' | 'closed' | 'draining' | 'stopped'

export interface SupervisorStatus {
  readonly state: SupervisorState
  /** The process, while it is up. */
  readonly pid?: number
  /** How often the process was restarted. */
  readonly restarts: number
  /** Why the last process ended, or could not start. */
  readonly reason?: string
}

/** How a supervisor binds and serves its ports. */
export interface Supervised {
  /** The ports in log lines, as `0.0.0.0:8080/tcp`. */
  readonly name: string
  /**
   * Binds all ports, or none.
   * @returns the sockets; none if the proxy binds its port itself
   */
  bind(): number[]
  /** Starts a process, and waits until it is ready. */
  launch(listenFds: readonly number[]): Promise<ProxyProcess>
}

interface SupervisorEvents {
  /** A process serves the ports: the first one, another one, or that of an earlier daemon. */
  up: []
  /** The process has ended by itself. It will be restarted. */
  exited: [reason: string]
  /** The restarted process is ready. */
  restarted: [pid: number]
}

/** An exit status of 128 + n stands for signal n. */
const SIGNAL_STATUS = 128

/** Keeps ports published. It also keeps the listening sockets, so that clients wait in the backlog while a process is restarted. */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly #supervised: Supervised
  readonly #log: Log
  readonly #backoff = new Backoff()
  /** Empty if the ports are not bound yet, or only the process has the sockets. */
  #listenFds: readonly number[]
  #process: ProxyProcess | undefined
  #state: SupervisorState = 'starting'
  #restarts = 0
  #reason: string | undefined
  #timer: NodeJS.Timeout | undefined
  #launching: Promise<unknown> = Promise.resolve()

  /** @param listenFds sockets that are already bound; the supervisor closes them */
  constructor(supervised: Supervised, log: Log, listenFds: readonly number[] = []) {
    super()
    // Each reader of a log is a listener.
    this.setMaxListeners(0)
    this.#supervised = supervised
    this.#log = log
    this.#listenFds = listenFds
  }

  get status(): SupervisorStatus {
    return {
      state: this.#state,
      ...(this.#process ? { pid: this.#process.pid } : {}),
      restarts: this.#restarts,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
    }
  }

  /** Whether clients wait, and are not refused, while the process is restarted. */
  get holdsSocket(): boolean {
    return this.#listenFds.length > 0
  }

  /** Starts the first process. Rejects with the reason if it does not get ready; `stop` then frees the ports. */
  start(): Promise<void> {
    return this.#launch()
  }

  /** Starts the first process. If it does not get ready, this is repeated until it does. Resolves after the first attempt. */
  async startEventually(): Promise<void> {
    try {
      await this.#launch()
    } catch (err) {
      this.#failed(err)
    }
  }

  /** Supervises a process that already runs. */
  adopt(process: ProxyProcess): void {
    this.#watch(process)
  }

  /** Starts a process as soon as the back-off permits, and repeats this until it succeeds. */
  restart(reason: string): void {
    if (this.#hasEnded) return
    this.#state = 'restarting'
    this.#reason = reason
    this.#timer = setTimeout(() => void this.#restartNow(), this.#backoff.next())
  }

  /** Ends the process. Another one is started in its place. */
  async replace(): Promise<void> {
    await this.#process?.stop()
  }

  /**
   * Puts a successor in the place of the process, which goes on until its owner ends it.
   * @param launch starts the successor with these sockets, and waits until it is ready
   * @returns the predecessor
   * Rejects with the reason if the successor does not get ready. The process keeps the ports then.
   */
  succeed(launch: (listenFds: readonly number[]) => Promise<ProxyProcess>): Promise<ProxyProcess> {
    const succession = this.#launching.then(() => this.#succeed(launch))
    this.#launching = succession.catch(() => undefined)
    return succession
  }

  async #succeed(
    launch: (listenFds: readonly number[]) => Promise<ProxyProcess>,
  ): Promise<ProxyProcess> {
    const predecessor = this.#process
    if (this.#state !== 'up' || !predecessor) throw new Error('no process serves it at present')
    if (!this.holdsSocket) throw new Error('the daemon does not have its listening socket')
    const next = await launch(this.#listenFds)
    if (this.#hasEnded) {
      await next.stop()
      throw new Error('withdrawn meanwhile')
    }
    // The predecessor may have ended meanwhile.
    clearTimeout(this.#timer)
    this.#watch(next)
    return predecessor
  }

  /** Ends the process and frees the ports. */
  async stop(options?: StopOptions): Promise<void> {
    this.#state = options?.drainMs ? 'draining' : 'stopped'
    await this.#end(options)
    this.#state = 'stopped'
  }

  /** Ends the process and frees the ports, until `open`. */
  async close(): Promise<void> {
    if (this.#hasEnded) return
    this.#state = 'closed'
    await this.#end()
    this.#process = undefined
  }

  /** Binds the ports again after `close`, and starts a process. If that fails, it is repeated until it succeeds. */
  async open(): Promise<void> {
    if (this.#state !== 'closed') return
    this.#state = 'starting'
    await this.startEventually()
  }

  /** Leaves the process running, for another daemon to adopt. */
  leave(): void {
    this.#state = 'stopped'
    clearTimeout(this.#timer)
  }

  /** Whether no process is wanted. */
  get #hasEnded(): boolean {
    return ['stopped', 'draining', 'closed'].includes(this.#state)
  }

  async #end(options?: StopOptions): Promise<void> {
    clearTimeout(this.#timer)
    // Closed first, so that no new client gets in while the process ends.
    for (const fd of this.#listenFds) closeSync(fd)
    this.#listenFds = []
    // While a successor starts, the present process must not accept clients any more.
    await Promise.all([this.#launching, this.#process?.stop(options)])
    await this.#process?.stop(options)
  }

  #failed(err: unknown): void {
    this.#log.error(`Can't start the proxy for ${this.#supervised.name}: ${errnoReason(err)}`)
    this.restart(errnoReason(err))
  }

  async #restartNow(): Promise<void> {
    const { name } = this.#supervised
    // A succession that is under way may make this unnecessary.
    await this.#launching
    if (this.#state !== 'restarting') return
    this.#restarts++
    try {
      await this.#launch()
    } catch (err) {
      this.#failed(err)
      return
    }
    this.#log.debug(`Proxy for ${name} is up again`, { restarts: this.#restarts })
    this.emit('restarted', this.#process?.pid ?? 0)
  }

  async #launch(): Promise<void> {
    if (this.#hasEnded) throw new Error('withdrawn meanwhile')
    if (this.#listenFds.length === 0) this.#listenFds = this.#supervised.bind()
    const launching = this.#supervised.launch(this.#listenFds)
    this.#launching = launching.catch(() => undefined)
    this.#watch(await launching)
  }

  #watch(process: ProxyProcess): void {
    const startedAt = performance.now()
    this.#process = process
    // If the supervisor was stopped or closed meanwhile, that ends the process.
    if (this.#hasEnded) return
    this.#state = 'up'
    this.emit('up')
    void process.exited.then((status) => {
      // After `close` and `open`, another process may be there.
      if (this.#process !== process) return
      this.#process = undefined
      if (this.#hasEnded) return
      this.#backoff.ended(performance.now() - startedAt)
      const reason = describeExit(status)
      this.#log.error(
        `Proxy for ${this.#supervised.name} ended: ${reason}; another one is started`,
        {
          proxy: process.pid,
        },
      )
      this.emit('exited', reason)
      this.restart(reason)
    })
  }
}

/** Describes how a process ended. @param status its exit status; above 128 it is a signal's number plus 128 */
export function describeExit(status: number | undefined): string {
  if (status === undefined) return 'killed, or its status was lost'
  return status > SIGNAL_STATUS ? `signal ${status - SIGNAL_STATUS}` : `exit code ${status}`
}
