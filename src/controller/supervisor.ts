import { EventEmitter } from 'node:events'
import { closeSync } from 'node:fs'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { ProxyProcess } from './proxy-process.js'

/** How a published port fares. */
export type PortState = 'starting' | 'up' | 'restarting' | 'stopped'

export interface PortStatus {
  readonly state: PortState
  /** The proxy's process while it is up. */
  readonly pid?: number
  /** How many times a proxy that ended has been started again. */
  readonly restarts: number
  /** Why the last one ended, or could not start. */
  readonly reason?: string
}

/** What a supervisor does for what one process serves, a port or several; who has them knows how. */
export interface Supervised {
  /** The port in log lines, as `0.0.0.0:8080/tcp`. */
  readonly name: string
  /**
   * Binds the ports, where the controller holds their sockets: all, or none.
   * @returns none where the proxy binds its port itself
   */
  bind(): number[]
  /** Starts a proxy, and waits until it is ready. */
  launch(listenFds: readonly number[]): Promise<ProxyProcess>
}

interface SupervisorEvents {
  /** The proxy has ended by itself; another one follows. */
  exited: [reason: string]
  /** The one that follows is ready. */
  restarted: [pid: number]
}

/** The wait before a proxy is started again doubles from the first to the last, milliseconds. */
const FIRST_DELAY_MS = 100
const LAST_DELAY_MS = 10_000
/** A proxy that has lived this long starts again at once, milliseconds. */
const STEADY_MS = 10_000
const SIGNAL_STATUS = 128

/**
 * Keeps ports published. It keeps the listening sockets too, so that clients wait in its backlog while a
 * proxy that has ended is replaced.
 */
export class Supervisor extends EventEmitter<SupervisorEvents> {
  readonly #port: Supervised
  readonly #log: Log
  /** None where there are none yet, or the proxy has them alone. */
  #listenFds: readonly number[]
  #proxy: ProxyProcess | undefined
  #state: PortState = 'starting'
  #restarts = 0
  #reason: string | undefined
  #delay = 0
  #timer: NodeJS.Timeout | undefined
  #launching: Promise<unknown> = Promise.resolve()

  /** @param listenFds the sockets where they are bound already; the supervisor closes them */
  constructor(port: Supervised, log: Log, listenFds: readonly number[] = []) {
    super()
    this.#port = port
    this.#log = log
    this.#listenFds = listenFds
  }

  get status(): PortStatus {
    return {
      state: this.#state,
      ...(this.#proxy ? { pid: this.#proxy.pid } : {}),
      restarts: this.#restarts,
      ...(this.#reason === undefined ? {} : { reason: this.#reason }),
    }
  }

  /** Whether clients wait while a proxy is replaced. */
  get holdsSocket(): boolean {
    return this.#listenFds.length > 0
  }

  /** Starts the first proxy. Rejects with the reason when it does not get ready; `stop` then frees the port. */
  start(): Promise<void> {
    return this.#launch()
  }

  /** Goes on with a proxy that is running already. */
  adopt(proxy: ProxyProcess): void {
    this.#watch(proxy)
  }

  /** Starts a proxy as soon as it can be; it is tried again until it can. */
  restart(reason: string): void {
    if (this.#state === 'stopped') return
    this.#state = 'restarting'
    this.#reason = reason
    this.#timer = setTimeout(() => {
      this.#restarts++
      this.#launch().then(
        () => {
          this.#log.info(`Proxy for ${this.#port.name} is up again`, { restarts: this.#restarts })
          this.emit('restarted', this.#proxy?.pid ?? 0)
        },
        (err: unknown) => {
          this.#log.error(`Can't start the proxy for ${this.#port.name}: ${errnoReason(err)}`)
          this.restart(errnoReason(err))
        },
      )
    }, this.#delay)
    this.#delay = Math.min(Math.max(this.#delay * 2, FIRST_DELAY_MS), LAST_DELAY_MS)
  }

  /** Ends the proxy and frees the port. */
  async stop(): Promise<void> {
    this.#state = 'stopped'
    clearTimeout(this.#timer)
    // The sockets go first: nobody new gets in while the proxy ends.
    for (const fd of this.#listenFds) closeSync(fd)
    this.#listenFds = []
    await this.#launching
    await this.#proxy?.stop()
  }

  /** Leaves the proxy running, for another daemon to adopt. */
  leave(): void {
    this.#state = 'stopped'
    clearTimeout(this.#timer)
  }

  async #launch(): Promise<void> {
    if (this.#state === 'stopped') throw new Error('withdrawn meanwhile')
    if (this.#listenFds.length === 0) this.#listenFds = this.#port.bind()
    const launching = this.#port.launch(this.#listenFds)
    this.#launching = launching.catch(() => undefined)
    this.#watch(await launching)
  }

  #watch(proxy: ProxyProcess): void {
    const started = performance.now()
    this.#proxy = proxy
    // Stopped meanwhile: `stop` ends it.
    if (this.#state === 'stopped') return
    this.#state = 'up'
    void proxy.exited.then((status) => {
      this.#proxy = undefined
      if (this.#state === 'stopped') return
      if (performance.now() - started > STEADY_MS) this.#delay = 0
      const reason = describeExit(status)
      this.#log.error(`Proxy for ${this.#port.name} ended: ${reason}`, { proxy: proxy.pid })
      this.emit('exited', reason)
      this.restart(reason)
    })
  }
}

/** How a proxy ended, from its exit status; over 128 it is a signal's number and 128. */
export function describeExit(status: number | undefined): string {
  if (status === undefined) return 'killed, or its status was lost'
  return status > SIGNAL_STATUS ? `signal ${status - SIGNAL_STATUS}` : `exit code ${status}`
}
