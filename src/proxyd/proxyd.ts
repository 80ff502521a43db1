import type { Server, Socket } from 'node:net'
import { deferred } from '../deferred.js'
import { EPOLL, ERRNO } from '../linux/constants.js'
import { closerOf } from '../linux/descriptors.js'
import type { NodePoller } from '../linux/node-poller.js'
import { systemError } from '../linux/system-error.js'
import type { Log } from '../log/log.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import { ListenError, type Engine, type Proxy } from '../proxy/engine.js'
import { parseFlags, portOfFlags } from '../proxy/flags.js'
import { bindError, brokenListenerText } from '../proxy/listen-error.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { tellListening } from '../proxy/tell-listening.js'
import { readControlPipe } from './control-pipe.js'
import { Launcher, waitingLaunchers } from './launcher.js'
import type { RunFolder } from './run-folder.js'
import { statusOf, type PortStatus } from './port-status.js'
import { serveStatus } from './status-socket.js'
import type { HandOver, Takeover } from './takeover.js'

const EXIT_DONE = 0
const EXIT_FAILED = 1

/** A port that a launcher has handed over. */
interface HostedPort {
  readonly launcher: Launcher
  /** When it was, milliseconds since the epoch. */
  readonly since: number
  /** Resolves when it is published, or can't be. */
  publishing?: Promise<void>
  /** Not there yet while it is being bound. */
  published?: { readonly port: PublishedPort; readonly proxy: Proxy }
}

export interface ProxydOptions {
  readonly engine: Engine
  /** Tells when launchers end. */
  readonly poller: NodePoller
  readonly folder: RunFolder
  readonly log: Log
}

/**
 * The proxies of many launchers, in one process.
 *
 *     dockerd ──starts──▶ launcher ──`start PID`──▶ control pipe ──▶ here: flags and socket from /proc, bind, forward
 *        ▲                   ▲                                         │
 *        └──`0\n` or why not─┴───`ready`, `failed …`, `exit 0`─────────┘
 *
 * A launcher lives as long as its port, so that dockerd has a process to wait for and to stop.
 */
export class Proxyd {
  readonly #ports = new Map<number, HostedPort>()
  readonly #descriptors = new DescriptorBudget()
  readonly #left = deferred()
  #control: Socket | undefined
  #status: Server | undefined
  /** The connection of the one that is about to take our place. */
  #successor: Socket | undefined

  constructor(private readonly options: ProxydOptions) {}

  /**
   * Takes what launchers ask for from now on, and what they have asked for before.
   * @param takeover what another has handed over, which is told when all of it is here
   * Rejects when the folder can't be used.
   */
  async open(takeover?: Takeover): Promise<void> {
    const { folder } = this.options
    await this.#tellStatus()
    folder.announce()
    await this.#startAllWaiting(takeover?.sockets)
    takeover?.done()
    this.#readControl()
  }

  /** Those that are published. */
  ports(): PortStatus[] {
    return [...this.#ports.values()].flatMap(({ launcher, since, published }) =>
      published ? [statusOf(launcher.pid, published.port, published.proxy, since)] : [],
    )
  }

  /** Resolves when another has taken our place, and the last connection has ended. */
  get left(): Promise<void> {
    return this.#left.promise
  }

  async #tellStatus(): Promise<void> {
    this.#status = await serveStatus(this.options.folder.socketPath, {
      ports: () => this.ports(),
      replace: (asker) => this.#handOver(asker),
      done: (asker) => this.#leave(asker),
    })
  }

  #readControl(): void {
    const { folder, log } = this.options
    this.#control = readControlPipe(
      folder.control,
      ({ kind, pid }) => {
        if (kind === 'start') void this.#start(pid)
        else this.#stop(pid)
      },
      (line) => log.warn('Refused a request on the control pipe: it is none', { line }),
    )
  }

  async #startAllWaiting(sockets?: Map<number, number>): Promise<void> {
    const waiting = waitingLaunchers(this.options.folder.controlPath)
    await Promise.all(waiting.map((pid) => this.#start(pid, sockets)))
  }

  /** @param sockets listening already, by launcher; the one that is used is taken out */
  async #start(pid: number, sockets?: Map<number, number>): Promise<void> {
    // One that was found waiting has also asked.
    if (this.#ports.has(pid)) return
    const { folder, log, poller } = this.options
    let launcher: Launcher
    try {
      launcher = Launcher.open(pid, folder.controlPath)
    } catch (err) {
      const reason = err instanceof Error ? err.message : String(err)
      log.warn(`Refused a request on the control pipe: ${reason}`, { pid })
      return
    }
    const hosted: HostedPort = { launcher, since: Date.now() }
    try {
      poller.add(launcher.pidfd, EPOLL.IN, {
        ready: () => this.#end(hosted),
        fail: (err) => log.error(`A fault with the launcher of a port: ${String(err)}`, { pid }),
      })
    } catch (err) {
      log.error(`Can't watch the launcher of a port, which sees to it alone: ${String(err)}`, {
        pid,
      })
      launcher.become()
      launcher.close()
      return
    }
    this.#ports.set(pid, hosted)
    const socket = sockets?.get(pid)
    hosted.publishing = this.#publish(hosted, socket)
    sockets?.delete(pid)
    await hosted.publishing
  }

  async #publish(hosted: HostedPort, socket: number | undefined): Promise<void> {
    const { engine, log } = this.options
    const { launcher } = hosted
    const port = readPort(launcher, socket)
    if (!port) {
      launcher.become()
      this.#end(hosted)
      return
    }
    // An engine that refuses a socket may have closed it, or not.
    const closeSocket = port.listenFd === undefined ? undefined : closerOf(port.listenFd)
    try {
      // What is kept free is for telling this, and to be able to go on.
      if (this.#descriptors.exhausted) throw bindError(port, systemError('socket', ERRNO.EMFILE))
      const proxy = await engine.listen(port, { log, descriptors: this.#descriptors })
      if (this.#ports.get(launcher.pid) !== hosted) {
        proxy.close() // It has ended meanwhile.
        return
      }
      hosted.published = { port, proxy }
      // Its listener and its launcher take as many descriptors as a relay.
      this.#descriptors.take()
      launcher.ready()
      tellListening(log, port, proxy.address, { launcher: launcher.pid })
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerText(port, proxy.address, err), { launcher: launcher.pid })
        this.#end(hosted, EXIT_FAILED)
      })
    } catch (err) {
      const { message, hint = '' } = err as Error & { hint?: string }
      launcher.failed(EXIT_FAILED, message, hint ? `${message} (${hint})` : message)
      this.#end(hosted)
      // All else is a fault of ours, and this port's alone.
      if (!(err instanceof ListenError)) log.error(`A port can't be published: ${String(err)}`)
    } finally {
      if (!hosted.published) closeSocket?.()
    }
  }

  #stop(pid: number): void {
    const hosted = this.#ports.get(pid)
    if (!hosted) {
      this.options.log.warn('Refused a request on the control pipe: it has no port here', { pid })
      return
    }
    const { accepted, failedDials } = hosted.published?.proxy.counters ?? {}
    this.options.log.info('Proxy stopped', { launcher: pid, accepted, failedDials })
    this.#end(hosted, EXIT_DONE)
  }

  /** Closes a port, and only then lets the launcher end: it is free when the launcher's parent hears of it. */
  #end(hosted: HostedPort, exitCode?: number): void {
    const { launcher, published } = hosted
    if (this.#ports.get(launcher.pid) !== hosted) return
    this.#ports.delete(launcher.pid)
    if (published) {
      published.proxy.close()
      this.#descriptors.give()
    }
    if (exitCode !== undefined) launcher.exit(exitCode)
    this.options.poller.forget(launcher.pidfd)
    launcher.close()
  }

  /** Tells all that another needs to go on with; what launchers ask for from now on is left to it. */
  async #handOver(asker: Socket): Promise<HandOver> {
    if (this.#successor) throw new Error('another is taking its place')
    const { folder, log } = this.options
    this.#successor = asker
    asker.once('close', () => {
      if (this.#successor !== asker) return
      log.warn('The one that was to take our place has ended before: all stays here')
      this.#stay().catch((err: unknown) => log.error(`Can't be found any more: ${String(err)}`))
    })
    this.#control?.pause()
    await Promise.all([...this.#ports.values()].flatMap(({ publishing }) => publishing ?? []))
    const ports = [...this.#ports.values()].flatMap(({ launcher, published }) => {
      const fd = published?.proxy.listenFd
      return fd === undefined ? [] : [{ launcher: launcher.pid, fd }]
    })
    return { pid: process.pid, lock: folder.lock, ports }
  }

  async #stay(): Promise<void> {
    this.#successor = undefined
    this.#status?.close()
    await this.#tellStatus()
    this.options.folder.announce()
    this.#control?.resume()
    await this.#startAllWaiting()
  }

  /** Another has all ports: this one ends with its connections. */
  #leave(asker: Socket): object {
    if (this.#successor !== asker) throw new Error('ask to replace it first')
    const { folder, log, poller } = this.options
    this.#successor = undefined
    asker.destroy()
    this.#status?.close()
    this.#control?.destroy()
    folder.close()
    const hosted = [...this.#ports.values()]
    const open = this.ports().reduce((sum, { active }) => sum + active, 0)
    log.info('Replaced: ends with the last of its connections', { connections: open })
    for (const { published } of hosted) published?.proxy.drain()
    void Promise.allSettled(hosted.flatMap(({ published }) => published?.proxy.closed ?? [])).then(
      () => {
        // The launchers are the other one's.
        for (const { launcher } of hosted) poller.forget(launcher.pidfd)
        this.#left.resolve()
      },
    )
    return {}
  }
}

/**
 * The port that a launcher was started for; undefined where it is the program's to answer: help, versions, bad flags.
 * @param socket that listens for it already
 */
function readPort(launcher: Launcher, socket: number | undefined): PublishedPort | undefined {
  const [, ...args] = launcher.command
  try {
    const flags = parseFlags(args)
    if (flags.version) return undefined
    const port = portOfFlags(flags)
    const listenFd = socket ?? (flags.useListenFd ? launcher.takeListenFd() : undefined)
    return port && listenFd !== undefined ? { ...port, listenFd } : port
  } catch {
    return undefined
  }
}
