import { EPOLL, ERRNO } from '../linux/constants.js'
import type { Pollable } from '../linux/epoll.js'
import { closerOf } from '../linux/descriptors.js'
import { errnoReason } from '../linux/errno.js'
import { requireLibc } from '../linux/libc.js'
import type { NodePoller } from '../linux/node-poller.js'
import { socketError } from '../linux/system-error.js'
import type { Log, StderrLog } from '../log/log.js'
import type { Engines } from '../proxy/choose-engine.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'
import { ListenError, type Engine, type Proxy } from '../proxy/engine.js'
import { bindError, brokenListenerText } from '../proxy/listen-error.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { SettingError, type Settings } from '../proxy/settings.js'
import { tellListening } from '../proxy/tell-listening.js'
import { tidyUpSoon } from '../tidy-up.js'
import { Launcher, LauncherGoneError, NotALauncherError } from './launcher.js'
import { statusOf, type PortStatus } from './port-status.js'
import { PutOffLaunchers, RETRY_MS } from './put-off-launchers.js'
import type { RunFolder } from './run-folder.js'

const EXIT_DONE = 0
const EXIT_FAILED = 1

/** A port that a launcher has handed over. */
class LaunchedPort implements Pollable {
  /** When it was, milliseconds since the epoch. */
  readonly since = Date.now()
  /** Resolves when it is published, or can't be; undefined afterwards. */
  publishing: Promise<void> | undefined
  /** Not there yet while it is being bound. */
  published?: { readonly port: PublishedPort; readonly proxy: Proxy }

  /**
   * @param isAffordable whether there was room for it
   * @param ended called when the launcher has
   */
  constructor(
    readonly launcher: Launcher,
    readonly isAffordable: boolean,
    public engine: Engine,
    public log: Log,
    private readonly ended: (port: LaunchedPort) => void,
  ) {}

  /** Its launcher's pidfd tells that this has ended. */
  ready(): void {
    this.ended(this)
  }

  fail(err: unknown): void {
    this.log.error(`A fault with the launcher of a port: ${String(err)}`)
  }
}

export interface LaunchedPortsOptions {
  /** Of a port that was not started with others. */
  readonly settings: Settings
  readonly engines: Engines
  /** Tells when launchers end. */
  readonly poller: NodePoller
  readonly folder: RunFolder
  /** Of the whole process, measured before any port was taken over. */
  readonly descriptors: DescriptorBudget
  readonly log: StderrLog
}

/**
 * The ports of all launchers. A launcher lives as long as its port, so that dockerd has a process to wait for and to stop.
 */
export class LaunchedPorts {
  readonly #ports = new Map<number, LaunchedPort>()
  readonly #putOff = new PutOffLaunchers((pid, isFound) => this.#tryAgain(pid, isFound))

  constructor(private readonly options: LaunchedPortsOptions) {}

  /** Those that are published. */
  statuses(): PortStatus[] {
    return [...this.#ports.values()].flatMap(({ launcher, since, published }) =>
      published ? [statusOf(launcher.pid, published.port, published.proxy, since)] : [],
    )
  }

  /** Their listening sockets, by launcher, once none is being bound any more. */
  async sockets(): Promise<{ launcher: number; fd: number }[]> {
    await Promise.all([...this.#ports.values()].flatMap(({ publishing }) => publishing ?? []))
    return [...this.#ports.values()].flatMap(({ launcher, published }) => {
      const fd = published?.proxy.listenFd
      return fd === undefined ? [] : [{ launcher: launcher.pid, fd }]
    })
  }

  /**
   * Publishes the port of a launcher, and tells it how that went.
   * @param isFound whether it was there before us: where another has served it, it waits for what can't be done yet
   */
  async start(pid: number, isFound = false): Promise<void> {
    // One that was found waiting has also asked.
    if (this.#ports.has(pid) || this.#putOff.has(pid)) return
    await this.#start(pid, isFound)
  }

  async #start(pid: number, isFound: boolean): Promise<void> {
    try {
      const launched = this.#watch(pid)
      launched.publishing = this.#publish(launched, isFound).finally(() => {
        launched.publishing = undefined
      })
      await launched.publishing
    } catch (err) {
      if (!(err instanceof NotALauncherError)) {
        this.#tryLater(pid, isFound, `Can't look at the launcher of a port yet: ${String(err)}`)
      } else if (!this.#putOff.remove(pid)) {
        this.options.log.warn(`Refused a request on the control pipe: ${err.message}`, {
          launcher: pid,
        })
      }
    }
  }

  /** @param reason told once */
  #tryLater(pid: number, isFound: boolean, reason: string): void {
    if (this.#putOff.add(pid, isFound)) this.options.log.error(reason, { launcher: pid })
  }

  #tryAgain(pid: number, isFound: boolean): void {
    if (this.#ports.has(pid)) return // It is being bound.
    // Nobody waits to be told of it.
    if (isFound && this.options.descriptors.exhausted) this.#putOff.add(pid, isFound)
    else void this.#start(pid, isFound)
  }

  /**
   * Goes on with the port of a launcher that another served so far.
   * @param sockets listening already, by launcher; the one that is used is taken out
   * Rejects when that can't be had; the launcher has heard nothing of it.
   */
  async takeOver(pid: number, sockets: Map<number, number>): Promise<void> {
    let launched: LaunchedPort
    try {
      launched = this.#watch(pid)
    } catch (err) {
      if (err instanceof NotALauncherError) return // It has ended meanwhile.
      throw err
    }
    const reason = this.#whyNotHere(launched)
    if (reason !== undefined) throw new Error(`launcher ${pid} has to serve its port: ${reason}`)
    const listenFd = sockets.get(pid)
    const port = launched.launcher.publishedPort()
    if (!port || listenFd === undefined) throw new Error(`launcher ${pid} has no port`)
    sockets.delete(pid)
    await this.#listen(launched, { ...port, listenFd })
  }

  /** Ends the port of a launcher that was told to end. */
  stop(pid: number): void {
    const launched = this.#ports.get(pid)
    if (!launched) {
      const isTold = this.#tell(pid, (launcher) => launcher.exit(EXIT_DONE))
      if (!isTold) setTimeout(() => this.stop(pid), RETRY_MS).unref()
      return
    }
    if (launched.publishing) {
      // What is being bound can't be closed before it is.
      const stop = (): void => {
        if (this.#ports.get(pid) === launched || this.#putOff.has(pid)) this.stop(pid)
      }
      void launched.publishing.then(stop, stop)
      return
    }
    const { accepted, failedDials } = launched.published?.proxy.counters ?? {}
    launched.log.info('Proxy stopped', { accepted, failedDials })
    this.#end(launched, EXIT_DONE)
  }

  /**
   * Answers one that is not served here: it waits for its port, or was told to end already.
   * @returns false where that can't be done now, as without a descriptor left
   */
  #tell(pid: number, answer: (launcher: Launcher) => void): boolean {
    try {
      const launcher = Launcher.open(pid, this.options.folder.controlId)
      answer(launcher)
      launcher.close()
    } catch (err) {
      if (!(err instanceof NotALauncherError)) return false
      if (!(err instanceof LauncherGoneError)) {
        this.options.log.warn(`Refused a request on the control pipe: ${err.message}`, {
          launcher: pid,
        })
      }
    }
    this.#putOff.remove(pid)
    return true
  }

  /** Stops serving; the launchers wait for the next one, and their ports are free meanwhile. */
  close(): void {
    this.#putOff.close()
    for (const { published } of this.#ports.values()) published?.proxy.close()
  }

  /** Lets a launcher see to its port by itself, where that was not published yet. */
  turnAway(pid: number): void {
    const launched = this.#ports.get(pid)
    if (launched?.published || this.#putOff.isFound(pid)) return
    if (launched) return this.#become(launched)
    this.#tell(pid, (launcher) => launcher.become())
  }

  /**
   * Stops listening everywhere, which is another's now; resolves when the last connection has ended.
   * @param successor the process that has the ports by now
   */
  async drain(successor: number | undefined): Promise<void> {
    this.#putOff.close()
    const all = [...this.#ports.values()]
    for (const { published } of all) published?.proxy.drain()
    const forget = successor === undefined ? undefined : this.#freeAfter(successor)
    await Promise.allSettled(all.flatMap(({ published }) => published?.proxy.closed ?? []))
    forget?.()
    for (const { launcher } of this.#ports.values()) this.options.poller.forget(launcher.pidfd)
  }

  /**
   * When another process ends, no port is to be held here any more, for who binds it next: those of UDP have one socket for what comes
   * and for answers that are under way.
   */
  #freeAfter(successor: number): () => void {
    const { log, poller } = this.options
    const free = (): void => {
      for (const { published } of this.#ports.values()) {
        if (published?.port.protocol === 'udp') published.proxy.close()
      }
    }
    let pidfd = -1
    const forget = (): void => {
      poller.close(pidfd)
      pidfd = -1
    }
    try {
      pidfd = requireLibc().openProcess(successor)
      poller.add(pidfd, EPOLL.IN, {
        ready() {
          forget()
          free()
        },
        fail: (err) => log.error(`A fault with the end of another: ${String(err)}`),
      })
    } catch {
      // It has ended already, or can't be watched.
      forget()
      free()
    }
    return forget
  }

  /** @throws NotALauncherError; Error when it can't be told whether it is one, or it can't be watched */
  #watch(pid: number): LaunchedPort {
    const { descriptors, engines, folder, log, poller, settings } = this.options
    const launcher = Launcher.open(pid, folder.controlId)
    const launched = new LaunchedPort(
      launcher,
      !descriptors.exhausted,
      engines.of(settings),
      log.child({ launcher: pid }),
      this.#launcherEnded,
    )
    try {
      poller.add(launcher.pidfd, EPOLL.IN, launched)
    } catch (err) {
      launcher.close()
      throw err
    }
    this.#ports.set(pid, launched)
    // Its listener and its launcher take as many descriptors as a relay; before it listens, since many may come at once.
    descriptors.take()
    tidyUpSoon()
    return launched
  }

  async #publish(launched: LaunchedPort, isFound: boolean): Promise<void> {
    const { launcher } = launched
    const reason = this.#whyNotHere(launched)
    if (reason !== undefined) {
      launched.log.info(`A docker-proxy serves its port itself: ${reason}`)
    }
    const port = reason === undefined ? launcher.publishedPort() : undefined
    if (!port) return this.#become(launched)
    try {
      // What is kept free is for telling this, and to be able to go on.
      if (!launched.isAffordable) throw bindError(port, socketError(ERRNO.EMFILE))
      const handed = handedSocket(launcher)
      if (!handed) return this.#become(launched)
      await this.#listen(launched, { ...port, ...handed })
      this.#putOff.remove(launcher.pid)
    } catch (err) {
      this.#failed(launched, isFound, err as Error & { hint?: string })
    }
  }

  #become(launched: LaunchedPort): void {
    launched.launcher.become()
    this.#putOff.remove(launched.launcher.pid)
    this.#end(launched)
  }

  #failed(launched: LaunchedPort, isFound: boolean, err: Error & { hint?: string }): void {
    const { launcher, log } = launched
    const { message, hint = '' } = err
    // All else is a fault of ours, and this port's alone.
    if (!(err instanceof ListenError)) log.error(`A port can't be published: ${String(err)}`)
    if (isFound && !launcher.isWaitedFor) {
      this.#end(launched)
      this.#tryLater(launcher.pid, isFound, `A port can't be published yet: ${message}`)
      return
    }
    launcher.failed(EXIT_FAILED, message, hint ? `${message} (${hint})` : message)
    this.#putOff.remove(launcher.pid)
    this.#end(launched)
  }

  /** Follows a port's own settings. @returns why its own process has to serve it; undefined where that is not so */
  #whyNotHere(launched: LaunchedPort): string | undefined {
    const { launcher } = launched
    const { engines, log, settings: ours } = this.options
    try {
      const reason = launcher.whyNotShared()
      if (reason !== undefined) return reason
      const settings = launcher.settings(ours)
      launched.engine = engines.of(settings)
      if (settings.logLevel !== ours.logLevel) {
        launched.log = log.child({ launcher: launcher.pid }, settings.logLevel)
      }
      return undefined
    } catch (err) {
      // The program refuses it in its own words.
      return err instanceof SettingError
        ? err.message
        : `it can't be looked at: ${errnoReason(err)}`
    }
  }

  /** Rejects with ListenError; a socket that was handed over is closed then. */
  async #listen(launched: LaunchedPort, port: PublishedPort): Promise<void> {
    const { descriptors } = this.options
    const { launcher, engine, log } = launched
    // An engine that refuses a socket may have closed it, or not.
    const closeSocket = port.listenFd === undefined ? undefined : closerOf(port.listenFd)
    try {
      const proxy = await engine.listen(port, { log, descriptors })
      if (this.#ports.get(launcher.pid) !== launched) {
        proxy.close() // It has ended meanwhile.
        return
      }
      launched.published = { port, proxy }
      launcher.ready()
      tellListening(log, port, proxy.address)
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerText(port, proxy.address, err))
        this.#end(launched, EXIT_FAILED)
      })
    } finally {
      if (!launched.published) closeSocket?.()
    }
  }

  readonly #launcherEnded = (launched: LaunchedPort): void => this.#end(launched)

  /** Closes a port, and only then lets the launcher end: it is free when the launcher's parent hears of it. */
  #end(launched: LaunchedPort, exitCode?: number): void {
    const { launcher, published } = launched
    if (this.#ports.get(launcher.pid) !== launched) return
    this.#ports.delete(launcher.pid)
    tidyUpSoon()
    published?.proxy.close()
    this.options.descriptors.give()
    if (exitCode !== undefined) launcher.exit(exitCode)
    this.options.poller.forget(launcher.pidfd)
    launcher.close()
  }
}

/** The listening socket that comes with a port, where one does; undefined where it can't be taken. */
function handedSocket(launcher: Launcher): { listenFd?: number } | undefined {
  try {
    const listenFd = launcher.takeListenFd()
    return listenFd === undefined ? {} : { listenFd }
  } catch {
    return undefined
  }
}
