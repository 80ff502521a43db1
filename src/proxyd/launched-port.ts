import { EXIT_FAILED } from '../exit-codes.js'
import { SAME_SIGNAL_MS } from '../linux/signals.js'
import { errnoReason } from '../linux/errno.js'
import { EPOLL, ERRNO } from '../linux/ffi/constants.js'
import { socketError } from '../linux/ffi/system-error.js'
import { descriptorCloser } from '../linux/proc/descriptors.js'
import type { NodePoller } from '../linux/sockets/node-poller.js'
import type { Pollable } from '../linux/sockets/poller.js'
import type { Log } from '../log/log.js'
import type { StderrLog } from '../log/stderr-log.js'
import type { Engines } from '../proxy/choose-engine.js'
import type { DescriptorBudget } from '../proxy/descriptor-budget.js'
import { drain } from '../proxy/drain.js'
import { ListenError, type Engine, type Proxy, type StopOptions } from '../proxy/engine.js'
import { bindError, brokenListenerMessage } from '../proxy/listen-error.js'
import { logListening, LogObserver } from '../proxy/log-observer.js'
import type { PortOptions } from '../proxy/port-options.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { SettingError, type Settings } from '../proxy/settings.js'
import { portStatus, type PortStatus } from '../status/port-status.js'
import { Launcher } from './launcher.js'
import type { RunFolder } from './run-folder.js'

/** Parts that all ports of a docker-proxyd share. */
export interface LaunchedPortContext {
  /** The settings of a port that was started without its own. */
  readonly settings: Settings
  readonly engines: Engines
  /** Reports when launchers end. */
  readonly poller: NodePoller
  readonly folder: RunFolder
  /** The budget of the whole process, measured before any port was taken over. */
  readonly descriptors: DescriptorBudget
  readonly log: StderrLog
}

type State =
  | { readonly kind: 'opened' }
  /** `done` resolves when the port is published, handed back, or has failed. */
  | { readonly kind: 'binding'; readonly done: Promise<boolean> }
  | { readonly kind: 'published'; readonly port: PublishedPort; readonly proxy: Proxy }
  | { readonly kind: 'ended' }

/** A port that a launcher has handed over. The launcher lives as long as its port, so that dockerd has a process to wait for and to stop. */
export class LaunchedPort implements Pollable {
  readonly #since = Date.now()
  readonly #context: LaunchedPortContext
  readonly #onEnded: (port: LaunchedPort) => void
  /** Whether there was room for the port when it was opened. */
  readonly #hasRoom: boolean
  #state: State = { kind: 'opened' }
  #engine: Engine
  #portOptions: PortOptions
  #drainMs: number
  /** When it began to wait for its open connections, by performance.now(), milliseconds. */
  #drainsSince: number | undefined
  #log: StderrLog

  private constructor(
    readonly launcher: Launcher,
    context: LaunchedPortContext,
    onEnded: (port: LaunchedPort) => void,
  ) {
    this.#context = context
    this.#onEnded = onEnded
    this.#hasRoom = context.descriptors.hasRoomForPort
    this.#engine = context.engines.engineFor(context.settings)
    this.#portOptions = context.settings.port
    this.#drainMs = context.settings.drainMs
    this.#log = context.log.child({ launcher: launcher.pid })
  }

  /**
   * Watches a launcher.
   * @param onEnded called when the launcher or its port has ended
   * @throws NotALauncherError; Error if the process can't be inspected or watched
   */
  static open(
    pid: number,
    context: LaunchedPortContext,
    onEnded: (port: LaunchedPort) => void,
  ): LaunchedPort {
    const launcher = Launcher.open(pid, context.folder.controlId)
    try {
      const port = new LaunchedPort(launcher, context, onEnded)
      context.poller.watch(launcher.pidfd, EPOLL.IN, port)
      // Counted before the port listens, because many may come at once.
      context.descriptors.acquirePort()
      return port
    } catch (err) {
      launcher.close()
      throw err
    }
  }

  get log(): Log {
    return this.#log
  }

  get isPublished(): boolean {
    return this.#state.kind === 'published'
  }

  /** Resolves when the binding ends; undefined if the port is not being bound. */
  get binding(): Promise<boolean> | undefined {
    return this.#state.kind === 'binding' ? this.#state.done : undefined
  }

  /** The report of the status socket; undefined unless the port is published. */
  get status(): PortStatus | undefined {
    if (this.#state.kind !== 'published') return undefined
    const { port, proxy } = this.#state
    return portStatus(this.launcher.pid, port, proxy, this.#since)
  }

  /** The proxy of the port; undefined unless it is published. */
  get proxy(): Proxy | undefined {
    return this.#state.kind === 'published' ? this.#state.proxy : undefined
  }

  /** The launcher has ended. */
  onReady(): void {
    this.end()
  }

  onError(err: unknown): void {
    this.#log.error(`Internal error with the launcher of a port: ${errnoReason(err)}`)
  }

  /**
   * Binds and serves the port, or hands it back to the launcher.
   * @param onFailure called if neither is possible, at once if there is no room: many ports may be opened in the same turn, and each has to
   *   close its descriptors before the next one is opened. The launcher does not know of the failure.
   * @returns whether it succeeded
   */
  publish(onFailure: (failure: Error) => void): Promise<boolean> {
    const done = this.#publish(onFailure)
    if (this.#state.kind === 'opened') this.#state = { kind: 'binding', done }
    return done
  }

  /**
   * Continues with a port that another docker-proxyd has served so far.
   * @param listenFd its listening socket; owned by the port if this resolves
   * Rejects if the port can't be served here. The launcher gets no reply then.
   */
  async takeOver(listenFd: number): Promise<void> {
    const { pid } = this.launcher
    const reason = this.#applySettings()
    if (reason !== undefined) throw new Error(`launcher ${pid} has to serve its port: ${reason}`)
    const port = this.launcher.publishedPort()
    if (!port) throw new Error(`launcher ${pid} has no port`)
    await this.#listen({ ...port, listenFd })
  }

  /** Lets the launcher serve the port in a process of its own. */
  handBack(): void {
    this.launcher.tellToServe()
    this.end()
  }

  /** Tells the launcher that its port can't be published. */
  fail(failure: Error): void {
    const { message, hint = '' } = failure as Error & { hint?: string }
    this.launcher.tellFailed(EXIT_FAILED, message, hint ? `${message} (${hint})` : message)
    this.end()
  }

  /** Stops the proxy. Does not end the launcher. */
  stopProxy(options?: StopOptions): void {
    this.proxy?.stop(options)
  }

  /** Whether the port waits for its open connections, and no longer listens. */
  get isDraining(): boolean {
    return this.#drainsSince !== undefined
  }

  /**
   * Has the port wait for its open connections, if its settings say so.
   * @param ended called with the end of the last one, unless the port has ended otherwise
   * @returns false if it does not wait, or has been told again not to
   */
  drain(ended: () => void): boolean {
    if (this.#drainsSince !== undefined) {
      return performance.now() - this.#drainsSince < SAME_SIGNAL_MS
    }
    if (this.#state.kind !== 'published' || this.#drainMs === 0) return false
    const { port, proxy } = this.#state
    if (proxy.counters.active === 0) return false
    this.#drainsSince = performance.now()
    const { active: connections } = proxy.counters
    this.log.info('Waits for open connections to end', { connections })
    drain(port, proxy, this.#drainMs)
    // A listener that breaks has ended the port.
    proxy.closed.then(ended, () => undefined)
    return true
  }

  /**
   * Closes the port, and then lets the launcher end: the port is free when the launcher's parent learns of it.
   * @param exitCode for the launcher; undefined if the launcher has ended, or must not end
   */
  end(exitCode?: number): void {
    if (this.#state.kind === 'ended') return
    this.stopProxy()
    this.#state = { kind: 'ended' }
    this.#context.descriptors.releasePort()
    if (exitCode !== undefined) this.launcher.tellToExit(exitCode)
    this.#context.poller.unwatch(this.launcher.pidfd)
    this.launcher.close()
    this.#onEnded(this)
  }

  /** Stops watching the launcher, which belongs to another docker-proxyd now. */
  abandon(): void {
    this.#context.poller.unwatch(this.launcher.pidfd)
  }

  async #publish(onFailure: (failure: Error) => void): Promise<boolean> {
    const { launcher } = this
    const reason = this.#applySettings()
    if (reason !== undefined) {
      this.#log.info(`A docker-proxy serves its port itself: ${reason}`)
    }
    const port = reason === undefined ? launcher.publishedPort() : undefined
    if (!port) {
      this.handBack()
      return true
    }
    try {
      // The descriptors that are kept free are needed to report this, and to continue.
      if (!this.#hasRoom) throw bindError(port, socketError(ERRNO.EMFILE))
      const socket = inheritedSocket(launcher)
      if (socket) await this.#listen({ ...port, ...socket })
      else this.handBack()
      return true
    } catch (err) {
      // All other errors are internal, and affect only this port.
      if (!(err instanceof ListenError)) {
        this.#log.error(`Internal error: a port can't be published: ${errnoReason(err)}`)
      }
      onFailure(err as Error)
      return false
    }
  }

  /** Applies the port's own settings. @returns why only its own process can serve it; undefined if docker-proxyd can */
  #applySettings(): string | undefined {
    const { engines, log, settings: ours } = this.#context
    const { launcher } = this
    try {
      const reason = launcher.whyNotShared()
      if (reason !== undefined) return reason
      const settings = launcher.settings(ours)
      this.#engine = engines.engineFor(settings)
      this.#portOptions = settings.port
      this.#drainMs = settings.drainMs
      if (settings.logLevel !== ours.logLevel) {
        this.#log = log.child({ launcher: launcher.pid }, settings.logLevel)
      }
      return undefined
    } catch (err) {
      // Its own program refuses the setting with its own words.
      return err instanceof SettingError
        ? err.message
        : `it can't be inspected: ${errnoReason(err)}`
    }
  }

  /** Rejects with ListenError. A socket that was handed over is closed then. */
  async #listen(port: PublishedPort): Promise<void> {
    const { descriptors } = this.#context
    const log = this.#log
    // An engine that refuses a socket may have closed it, or not.
    const closeSocket = port.listenFd === undefined ? undefined : descriptorCloser(port.listenFd)
    try {
      const options = {
        observer: new LogObserver(log, port, this.#portOptions.accessLog),
        portOptions: this.#portOptions,
      }
      const proxy = await this.#engine.listen(port, options, { descriptors })
      if (this.#state.kind === 'ended') {
        proxy.stop() // The launcher has ended meanwhile.
        return
      }
      this.#state = { kind: 'published', port, proxy }
      this.launcher.tellReady()
      logListening(log, port, proxy.address)
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerMessage(port, proxy.address, err))
        this.end(EXIT_FAILED)
      })
    } finally {
      if (!this.isPublished) closeSocket?.()
    }
  }
}

/** The listening socket that comes with a port, if there is one; undefined if it can't be copied. */
function inheritedSocket(launcher: Launcher): { listenFd?: number } | undefined {
  try {
    const listenFd = launcher.copyListenFd()
    return listenFd === undefined ? {} : { listenFd }
  } catch {
    return undefined
  }
}
