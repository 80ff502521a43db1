import { once } from 'node:events'
import { statSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { deferred } from '../deferred.js'
import { errnoReason } from '../linux/errno.js'
import { isSameFile, type FileId } from '../linux/proc/descriptors.js'
import { PORTS_REQUEST, type PortStatus } from '../status/port-status.js'
import { serveStatus } from '../status/status-socket.js'
import { ControlPipe } from './control-pipe.js'
import type { LaunchedPortContext } from './launched-port.js'
import { LaunchedPorts } from './launched-ports.js'
import { launchersOf } from './launcher.js'
import { DONE_REQUEST, REPLACE_REQUEST, type Handover, type Takeover } from './takeover.js'

/** Time a successor has to complete its takeover, milliseconds. Launchers wait meanwhile. */
const TAKEOVER_MS = 30_000
/** The same when this process is about to end, milliseconds. */
const LAST_TAKEOVER_MS = 5_000
/** At the end, time for the requests of launchers that have just found this process, milliseconds. */
const LAST_REQUESTS_MS = 50
/** Wait before this process announces itself once more, milliseconds. */
const RETRY_MS = 1_000

/**
 * Serves the ports of many launchers in one process.
 *
 *     dockerd ──starts──▶ launcher ──`start PID`──▶ control pipe ──▶ here: flags and socket from /proc, bind, forward
 *        ▲                   ▲                                         │
 *        └──`0\n` or reason──┴───`told`, `failed …`, `exit 0`──────────┘
 */
export class Proxyd {
  /** Called when a successor has all ports. Open connections stay here. */
  onSuperseded: (() => void) | undefined
  readonly #ports: LaunchedPorts
  readonly #replaced = deferred()
  readonly #control: ControlPipe
  #isOpen = false
  #isClosing = false
  #status: { readonly server: Server; readonly id: FileId } | undefined
  /** The connection of a successor that is taking over. */
  #successor: Socket | undefined
  #idle: { readonly ms: number; readonly onIdle: () => void } | undefined
  #idleTimer: NodeJS.Timeout | undefined

  constructor(private readonly context: LaunchedPortContext) {
    this.#ports = new LaunchedPorts(context, () => this.#startIdleTimer())
    const { poller, folder, log } = context
    this.#control = new ControlPipe(poller, folder.control, {
      request: ({ kind, pid }) => {
        if (kind === 'stop') this.#ports.stop(pid)
        else void this.#ports.start(pid)
      },
      invalid: (line) => log.warn('Refused a request on the control pipe: it is invalid', { line }),
      failed: (err) => log.error(`Internal error with the control pipe: ${errnoReason(err)}`),
    })
  }

  /**
   * Serves launchers from now on, including those that already wait.
   * @param takeover what a predecessor has handed over; the predecessor is notified when everything is served here
   * Rejects if the folder can't be used, or not everything could be taken over. The predecessor then keeps everything.
   */
  async open(takeover?: Takeover): Promise<void> {
    const { folder } = this.context
    if (takeover && !isSameFile(takeover.control, folder.controlId)) {
      throw new Error(
        `docker-proxyd ${takeover.pid} can't be replaced: its control pipe was removed, and its docker-proxies have no other; restart it once their containers are stopped`,
      )
    }
    await this.#serveStatus()
    folder.announce()
    const sockets = takeover?.sockets
    await Promise.all(
      launchersOf(folder.controlId).map((pid) =>
        sockets?.has(pid) ? this.#ports.takeOver(pid, sockets) : this.#ports.start(pid, true),
      ),
    )
    await takeover?.done()
    this.#isOpen = true
    this.#control.resume()
  }

  /** Whether this process serves launchers, and no successor does. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** The statuses of all published ports. */
  ports(): PortStatus[] {
    return this.#ports.statuses()
  }

  /** Call it when other parts of this process have opened or closed descriptors. */
  descriptorsChanged(): void {
    this.context.descriptors.remeasure()
  }

  /** Resolves when a successor has taken over, and the last connection has ended. */
  get replaced(): Promise<void> {
    return this.#replaced.promise
  }

  /** Resolves when no launcher has been here for this time. @param ms milliseconds */
  untilIdle(ms: number): Promise<void> {
    return new Promise((resolve) => {
      this.#idle = { ms, onIdle: resolve }
      this.#startIdleTimer()
    })
  }

  /** Leaves the ports to the next docker-proxyd. Launchers without a reply serve their ports themselves. */
  async close(): Promise<void> {
    const { folder } = this.context
    this.#isClosing = true
    await this.#waitForTakeover()
    // The ports first: a launcher that gets a signal and finds no docker-proxyd ends at once, and its port must be free by then.
    if (this.#isOpen) this.#ports.close()
    // Later requests stay in the pipe for the next docker-proxyd, which may come at once.
    this.#control.pause()
    folder.close()
    // If this process is not open, the launchers belong to a successor, or were never served here.
    if (!this.#isOpen) return
    this.#turnLaunchersAway()
    await new Promise((resolve) => setTimeout(resolve, LAST_REQUESTS_MS))
    this.#turnLaunchersAway()
  }

  #startIdleTimer(): void {
    if (!this.#idle) return
    const { ms, onIdle } = this.#idle
    clearTimeout(this.#idleTimer)
    this.#idleTimer = setTimeout(() => {
      // A launcher may just have found this process.
      if (!this.#ports.isEmpty || !this.#isOpen) return
      if (launchersOf(this.context.folder.controlId).length > 0) this.#startIdleTimer()
      else onIdle()
    }, ms)
  }

  /** Waits for the end of a takeover that is under way. */
  async #waitForTakeover(): Promise<void> {
    const connection = this.#successor
    if (!connection) return
    const timer = setTimeout(() => connection.destroy(), LAST_TAKEOVER_MS)
    await once(connection, 'close')
    clearTimeout(timer)
  }

  /** Turns away launchers that have found this process and got no reply. Once there is a successor, they are the successor's. */
  #turnLaunchersAway(): void {
    const { folder } = this.context
    for (const pid of launchersOf(folder.controlId)) {
      if (folder.announcedPid() === undefined) this.#ports.turnAway(pid)
    }
  }

  async #serveStatus(): Promise<void> {
    const { descriptors, folder } = this.context
    const server = await serveStatus(folder.socketPath, descriptors, {
      [PORTS_REQUEST]: () => this.ports(),
      [REPLACE_REQUEST]: (connection) => this.#handOver(connection),
      [DONE_REQUEST]: (connection) => this.#completeHandover(connection),
    })
    this.#status?.server.close()
    this.#status = { server, id: statSync(folder.socketPath) }
  }

  /** Hands everything over to a successor. Later requests of launchers are left to it. */
  async #handOver(connection: Socket): Promise<Handover> {
    if (this.#successor || !this.#isOpen) throw new Error('another process is taking over')
    const { folder, log } = this.context
    this.#successor = connection
    const timer = setTimeout(() => connection.destroy(), TAKEOVER_MS)
    connection.once('close', () => {
      clearTimeout(timer)
      if (this.#successor !== connection) return
      log.warn('The takeover failed, because the successor has ended: all ports stay here')
      void this.#resumeAfterFailedTakeover()
    })
    this.#control.pause()
    const { dev, ino } = folder.controlId
    const ports = await this.#ports.sockets()
    return { pid: process.pid, lock: folder.lock, control: { dev, ino }, ports }
  }

  async #resumeAfterFailedTakeover(): Promise<void> {
    this.#successor = undefined
    if (this.#isClosing) return
    this.#control.resume()
    await this.#announceAgain()
    const waiting = launchersOf(this.context.folder.controlId)
    await Promise.all(waiting.map((pid) => this.#ports.start(pid)))
  }

  /** Until this succeeds, launchers find this process only if the successor has not announced itself yet. */
  async #announceAgain(): Promise<void> {
    const { folder, log } = this.context
    try {
      folder.announce()
      if (!this.#hasStatusSocket()) await this.#serveStatus()
    } catch (err) {
      log.error(`New docker-proxies may not find this process; trying again: ${errnoReason(err)}`)
      setTimeout(() => void this.#announceAgain(), RETRY_MS).unref()
    }
  }

  /** Whether the status socket in the folder is still the one of this process. */
  #hasStatusSocket(): boolean {
    const found = statSync(this.context.folder.socketPath, { throwIfNoEntry: false })
    return found !== undefined && this.#status !== undefined && isSameFile(found, this.#status.id)
  }

  /** The successor serves all ports: this process ends with its connections. */
  #completeHandover(connection: Socket): object {
    if (this.#successor !== connection) throw new Error(`send ${REPLACE_REQUEST} first`)
    const { folder, log } = this.context
    this.#successor = undefined
    this.#isOpen = false
    const connections = this.ports().reduce((sum, { active }) => sum + active, 0)
    log.info('Replaced: ends with the last of its connections', { connections })
    this.onSuperseded?.()
    const drained = this.#ports.drain(folder.announcedPid())
    this.#status?.server.close()
    folder.close()
    // Nothing listens here any more: the successor may now tell launchers that their ports are free.
    connection.destroy()
    void drained.then(() => this.#replaced.resolve())
    return {}
  }
}
