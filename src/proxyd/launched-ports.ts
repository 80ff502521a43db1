import { errnoReason } from '../linux/errno.js'
import { EXIT_DONE } from '../exit-codes.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import { EPOLL } from '../linux/ffi/constants.js'
import { releaseMemorySoon } from '../memory/release-memory.js'
import type { PortStatus } from '../status/port-status.js'
import { LaunchedPort, type LaunchedPortContext } from './launched-port.js'
import { Launcher, LauncherGoneError, NotALauncherError } from './launcher.js'
import { RETRY_MS, RetryQueue } from './retry-queue.js'

/** A listening socket, and the launcher that it was opened for. */
export interface LauncherSocket {
  readonly launcher: number
  readonly fd: number
}

/** The ports of all launchers. */
export class LaunchedPorts {
  #isLeaving = false
  readonly #ports = new Map<number, LaunchedPort>()
  readonly #queue = new RetryQueue((pid, wasWaiting) => this.#retry(pid, wasWaiting))

  /** @param onEmptied called when the last launcher has ended */
  constructor(
    private readonly context: LaunchedPortContext,
    private readonly onEmptied: () => void,
  ) {}

  /** Whether no launcher is served, or waits. */
  get isEmpty(): boolean {
    return this.#ports.size === 0 && this.#queue.isEmpty
  }

  /** The statuses of all published ports. */
  statuses(): PortStatus[] {
    return [...this.#ports.values()].flatMap(({ status }) => status ?? [])
  }

  /** The listening sockets of all ports. Resolves when no port is being bound any more. */
  async sockets(): Promise<LauncherSocket[]> {
    await Promise.all([...this.#ports.values()].flatMap(({ binding }) => binding ?? []))
    return [...this.#ports].flatMap(([launcher, { proxy, isDraining }]) => {
      const fd = isDraining ? undefined : proxy?.listenFd
      return fd === undefined ? [] : [{ launcher, fd }]
    })
  }

  /**
   * Publishes the port of a launcher, and tells the launcher the result.
   * @param wasWaiting whether the launcher waited before this docker-proxyd started: if an earlier one has served it, a failure is not final
   */
  async start(pid: number, wasWaiting = false): Promise<void> {
    // A launcher that waited may also have sent a request.
    if (this.#ports.has(pid) || this.#queue.has(pid)) return
    await this.#publish(pid, wasWaiting)
  }

  /**
   * Continues with the port of a launcher that another docker-proxyd has served so far.
   * @param sockets listening sockets by launcher; the one that is used is removed
   * Rejects if the port can't be served here. The launcher does not know of it.
   */
  async takeOver(pid: number, sockets: Map<number, number>): Promise<void> {
    let port: LaunchedPort
    try {
      port = this.#open(pid)
    } catch (err) {
      if (err instanceof NotALauncherError) return // It has ended meanwhile.
      throw err
    }
    const listenFd = sockets.get(pid)
    if (listenFd === undefined) throw new Error(`launcher ${pid} has no port`)
    sockets.delete(pid)
    await port.takeOver(listenFd)
  }

  /** Closes the port of a launcher that has to end. */
  stop(pid: number): void {
    const port = this.#ports.get(pid)
    if (!port) {
      const isAnswered = this.#answer(pid, (launcher) => launcher.tellToExit(EXIT_DONE))
      if (!isAnswered) setTimeout(() => this.stop(pid), RETRY_MS).unref()
      return
    }
    if (port.binding) {
      // A socket that is being bound can't be closed yet.
      const stop = (): void => {
        if (this.#ports.get(pid) === port || this.#queue.has(pid)) this.stop(pid)
      }
      void port.binding.then(stop, stop)
      return
    }
    const ended = (): void => {
      // Otherwise the launcher belongs to the successor.
      if (!this.#isLeaving) port.end(EXIT_DONE)
    }
    if (port.drain(ended)) return
    const { accepted, failedDials } = port.proxy?.counters ?? {}
    port.log.info('Proxy stopped', { accepted, failedDials })
    port.end(EXIT_DONE)
  }

  /** Lets a launcher serve its port itself, unless the port is published here. */
  turnAway(pid: number): void {
    const port = this.#ports.get(pid)
    if (port?.isPublished || this.#queue.hasWaiting(pid)) return
    if (port) return port.handBack()
    this.#answer(pid, (launcher) => launcher.tellToServe())
  }

  /** Stops serving. The launchers wait for the next docker-proxyd, and their ports are free meanwhile. */
  close(): void {
    this.#queue.close()
    for (const port of this.#ports.values()) port.stopProxy()
  }

  /**
   * Stops listening on all ports, which another docker-proxyd now serves. Resolves when the last connection has ended.
   * @param successor the process that serves the ports now
   */
  async drain(successor: number | undefined): Promise<void> {
    this.#queue.close()
    this.#isLeaving = true
    const ports = [...this.#ports.values()]
    for (const port of ports) {
      // One that drains keeps its time, though its launcher ends as soon as the successor has seen it.
      if (port.isDraining) port.abandon()
      else port.stopProxy({ drainMs: Infinity })
      port.launcher.leave()
    }
    const stopWatching = successor === undefined ? undefined : this.#freeUdpPortsAfter(successor)
    await Promise.allSettled(ports.flatMap(({ proxy }) => proxy?.closed ?? []))
    stopWatching?.()
    for (const port of this.#ports.values()) if (!port.isDraining) port.abandon()
  }

  async #publish(pid: number, wasWaiting: boolean): Promise<void> {
    let port: LaunchedPort
    try {
      port = this.#open(pid)
    } catch (err) {
      if (!(err instanceof NotALauncherError)) {
        this.#retryLater(
          pid,
          wasWaiting,
          `Can't inspect the launcher of a port yet: ${errnoReason(err)}`,
        )
      } else if (!this.#queue.remove(pid)) {
        this.#warnOfRefusal(pid, err)
      }
      return
    }
    const isDone = await port.publish((failure) => this.#failed(port, wasWaiting, failure))
    if (isDone) this.#queue.remove(pid)
  }

  #failed(port: LaunchedPort, wasWaiting: boolean, failure: Error): void {
    const { launcher } = port
    if (wasWaiting && !launcher.isWaitedFor) {
      port.end()
      const reason = `A port can't be published yet: ${failure.message}`
      this.#retryLater(launcher.pid, wasWaiting, reason)
    } else {
      port.fail(failure)
      this.#queue.remove(launcher.pid)
    }
  }

  /** @throws NotALauncherError; Error if the process can't be inspected or watched */
  #open(pid: number): LaunchedPort {
    const port = LaunchedPort.open(pid, this.context, this.#portEnded)
    this.#ports.set(pid, port)
    releaseMemorySoon()
    return port
  }

  readonly #portEnded = (port: LaunchedPort): void => {
    this.#ports.delete(port.launcher.pid)
    releaseMemorySoon()
    if (this.isEmpty) this.onEmptied()
  }

  /** @param reason logged once */
  #retryLater(pid: number, wasWaiting: boolean, reason: string): void {
    if (this.#queue.add(pid, wasWaiting)) this.context.log.error(reason, { launcher: pid })
  }

  #retry(pid: number, wasWaiting: boolean): void {
    if (this.#ports.has(pid)) return // The port is being bound.
    // Nobody waits for the result, so the attempt can wait for descriptors.
    if (wasWaiting && this.context.descriptors.isExhausted) this.#queue.add(pid, wasWaiting)
    else void this.#publish(pid, wasWaiting)
  }

  /**
   * Answers a launcher whose port is not served here: it waits, or has to end.
   * @returns false if this is impossible now, for example without a free descriptor
   */
  #answer(pid: number, answer: (launcher: Launcher) => void): boolean {
    try {
      const launcher = Launcher.open(pid, this.context.folder.controlId)
      answer(launcher)
      launcher.close()
    } catch (err) {
      if (!(err instanceof NotALauncherError)) return false
      if (!(err instanceof LauncherGoneError)) this.#warnOfRefusal(pid, err)
    }
    this.#queue.remove(pid)
    return true
  }

  #warnOfRefusal(pid: number, { message }: Error): void {
    this.context.log.warn(`Refused a request on the control pipe: ${message}`, { launcher: pid })
  }

  /**
   * Frees all UDP ports when the successor ends, so that its own successor can bind them: a UDP port has one socket for requests and for
   * replies that are still under way.
   * @returns a function that stops watching the successor
   */
  #freeUdpPortsAfter(successor: number): () => void {
    const { log, poller } = this.context
    const freePorts = (): void => {
      for (const port of this.#ports.values()) {
        if (port.status?.protocol === 'udp') port.stopProxy()
      }
    }
    let pidfd = -1
    const stopWatching = (): void => {
      poller.close(pidfd)
      pidfd = -1
    }
    try {
      pidfd = requireCheckedSyscalls().openPidFd(successor)
      poller.watch(pidfd, EPOLL.IN, {
        onReady() {
          stopWatching()
          freePorts()
        },
        onError: (err) =>
          log.error(`Internal error at the end of a successor: ${errnoReason(err)}`),
      })
    } catch {
      // It has ended already, or can't be watched.
      stopWatching()
      freePorts()
    }
    return stopWatching
  }
}
