import { once } from 'node:events'
import { statSync } from 'node:fs'
import type { Server, Socket } from 'node:net'
import { deferred } from '../deferred.js'
import { isSameFile, type FileId } from '../linux/descriptors.js'
import { errnoReason } from '../linux/errno.js'
import { ControlPipe } from './control-pipe.js'
import { LaunchedPorts, type LaunchedPortsOptions } from './launched-ports.js'
import { waitingLaunchers } from './launcher.js'
import type { PortStatus } from './port-status.js'
import { serveStatus } from './status-socket.js'
import type { HandOver, Takeover } from './takeover.js'

/** Who asks for our place has to take it within this time: launchers wait meanwhile; milliseconds. */
const HAND_OVER_MS = 30_000
/** As long as that is waited for when all is to end, milliseconds. */
const LAST_HAND_OVER_MS = 5_000
/** Who has just found us may ask yet, milliseconds. */
const LAST_REQUESTS_MS = 50
/** When it is tried again to be found, milliseconds. */
const RETRY_MS = 1_000

/**
 * The proxies of many launchers, in one process.
 *
 *     dockerd ──starts──▶ launcher ──`start PID`──▶ control pipe ──▶ here: flags and socket from /proc, bind, forward
 *        ▲                   ▲                                         │
 *        └──`0\n` or why not─┴───`ready`, `failed …`, `exit 0`─────────┘
 */
export class Proxyd {
  readonly #ports: LaunchedPorts
  readonly #left = deferred()
  readonly #control: ControlPipe
  #isOpen = false
  #isClosing = false
  #status: { readonly server: Server; readonly id: FileId } | undefined
  /** The connection of the one that is about to take our place. */
  #successor: Socket | undefined

  constructor(private readonly options: LaunchedPortsOptions) {
    this.#ports = new LaunchedPorts(options)
    const { poller, folder, log } = options
    this.#control = new ControlPipe(poller, folder.control, {
      request: ({ kind, pid }) => {
        if (kind === 'stop') this.#ports.stop(pid)
        else void this.#ports.start(pid)
      },
      refused: (line) => log.warn('Refused a request on the control pipe: it is none', { line }),
      failed: (err) => log.error(`A fault with the control pipe: ${String(err)}`),
    })
  }

  /**
   * Takes what launchers ask for from now on, and what they have asked for before.
   * @param takeover what another has handed over, which is told when all of it is here
   * Rejects when the folder can't be used, or not all could be taken over: then all of it is the other one's still.
   */
  async open(takeover?: Takeover): Promise<void> {
    const { controlId } = this.options.folder
    if (takeover && !isSameFile(takeover.control, controlId)) {
      throw new Error(
        `docker-proxyd ${takeover.pid} can't be replaced: its control pipe was removed, and its docker-proxies have no other; restart it once their containers are stopped`,
      )
    }
    await this.#tellStatus()
    this.options.folder.announce()
    const waiting = waitingLaunchers(controlId)
    const sockets = takeover?.sockets
    await Promise.all(
      waiting.map((pid) =>
        sockets?.has(pid) ? this.#ports.takeOver(pid, sockets) : this.#ports.start(pid, true),
      ),
    )
    await takeover?.done()
    this.#isOpen = true
    this.#control.resume()
  }

  /** Whether launchers are served here, and not by one that has taken our place. */
  get isOpen(): boolean {
    return this.#isOpen
  }

  /** Those that are published. */
  ports(): PortStatus[] {
    return this.#ports.statuses()
  }

  /** Others in this process have opened descriptors, or closed some. */
  noteDescriptors(): void {
    this.options.descriptors.measureAgain()
  }

  /** Is found no more, and leaves the ports to the next one; launchers that were not told yet see to theirs by themselves. */
  async close(): Promise<void> {
    this.#isClosing = true
    await this.#untilHandedOver()
    // Before launchers find nobody here: then they end at once, and their ports are to be free.
    if (this.#isOpen) this.#ports.close()
    // What is in it from now on is for the next one, which may come at once.
    this.#control.pause()
    this.options.folder.close()
    // Where it is not open, launchers are another's, or were never ours.
    if (!this.#isOpen) return
    this.#turnAway()
    await new Promise((done) => setTimeout(done, LAST_REQUESTS_MS))
    this.#turnAway()
  }

  /** Waits for what becomes of one that is about to take our place. */
  async #untilHandedOver(): Promise<void> {
    const asker = this.#successor
    if (!asker) return
    const limit = setTimeout(() => asker.destroy(), LAST_HAND_OVER_MS)
    await once(asker, 'close')
    clearTimeout(limit)
  }

  /** Some have found us and were not answered yet, or have not asked yet; where there is a next one already, they are its own. */
  #turnAway(): void {
    const { folder } = this.options
    for (const pid of waitingLaunchers(folder.controlId)) {
      if (folder.found() === undefined) this.#ports.turnAway(pid)
    }
  }

  /** Resolves when another has taken our place, and the last connection has ended. */
  get left(): Promise<void> {
    return this.#left.promise
  }

  async #tellStatus(): Promise<void> {
    const { descriptors, folder } = this.options
    const server = await serveStatus(folder.socketPath, descriptors, {
      ports: () => this.ports(),
      replace: (asker) => this.#handOver(asker),
      done: (asker) => this.#leave(asker),
    })
    this.#status?.server.close()
    this.#status = { server, id: statSync(folder.socketPath) }
  }

  /** Tells all that another needs to go on with; what launchers ask for from now on is left to it. */
  async #handOver(asker: Socket): Promise<HandOver> {
    if (this.#successor || !this.#isOpen) throw new Error('another is taking its place')
    const { folder, log } = this.options
    this.#successor = asker
    const limit = setTimeout(() => asker.destroy(), HAND_OVER_MS)
    asker.once('close', () => {
      clearTimeout(limit)
      if (this.#successor !== asker) return
      log.warn('The one that was to take our place has ended before: all stays here')
      void this.#stay()
    })
    this.#control.pause()
    const { dev, ino } = folder.controlId
    const ports = await this.#ports.sockets()
    return { pid: process.pid, lock: folder.lock, control: { dev, ino }, ports }
  }

  async #stay(): Promise<void> {
    this.#successor = undefined
    if (this.#isClosing) return
    this.#control.resume()
    await this.#beFound()
    const waiting = waitingLaunchers(this.options.folder.controlId)
    await Promise.all(waiting.map((pid) => this.#ports.start(pid)))
  }

  /** Launchers that wait are served meanwhile; where the other one had not come far they find us all the same. */
  async #beFound(): Promise<void> {
    const { folder, log } = this.options
    try {
      folder.announce()
      if (!this.#hasSocket()) await this.#tellStatus()
    } catch (err) {
      log.error(`Can't be found by all any more, and tries again: ${errnoReason(err)}`)
      setTimeout(() => void this.#beFound(), RETRY_MS).unref()
    }
  }

  /** Whether it can be asked still, and no other in its place. */
  #hasSocket(): boolean {
    const found = statSync(this.options.folder.socketPath, { throwIfNoEntry: false })
    return found !== undefined && this.#status !== undefined && isSameFile(found, this.#status.id)
  }

  /** Another has all ports: this one ends with its connections. */
  #leave(asker: Socket): object {
    if (this.#successor !== asker) throw new Error('ask to replace it first')
    const { folder, log } = this.options
    this.#successor = undefined
    this.#isOpen = false
    const connections = this.ports().reduce((sum, { active }) => sum + active, 0)
    log.info('Replaced: ends with the last of its connections', { connections })
    const drained = this.#ports.drain(folder.found())
    this.#status?.server.close()
    folder.close()
    // Now that nothing listens here: the other one may tell launchers that their ports are free.
    asker.destroy()
    void drained.then(() => this.#left.resolve())
    return {}
  }
}
