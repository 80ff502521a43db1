import { closeSync } from 'node:fs'
import { EPOLL, ERRNO } from '../linux/constants.js'
import type { NodePoller } from '../linux/node-poller.js'
import { systemError } from '../linux/system-error.js'
import type { Log } from '../log/log.js'
import { DescriptorBudget } from '../proxy/descriptor-budget.js'
import { ListenError, type Engine, type Proxy } from '../proxy/engine.js'
import { parseFlags, portOfFlags } from '../proxy/flags.js'
import { bindError, brokenListenerText } from '../proxy/listen-error.js'
import { routeOf, type PublishedPort } from '../proxy/published-port.js'
import { readControlPipe } from './control-pipe.js'
import { Launcher, NotALauncherError, waitingLaunchers } from './launcher.js'
import type { RunFolder } from './run-folder.js'

const EXIT_DONE = 0
const EXIT_FAILED = 1

/** A port that a launcher has handed over. */
interface HostedPort {
  readonly launcher: Launcher
  /** Not there yet while it is being bound. */
  proxy?: Proxy
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

  constructor(private readonly options: ProxydOptions) {}

  /** Takes what launchers ask for from now on, and what they have asked for before. */
  open(): void {
    const { folder, log } = this.options
    readControlPipe(
      folder.control,
      ({ kind, pid }) => (kind === 'start' ? this.#start(pid) : this.#stop(pid)),
      (line) => log.warn('Refused a request on the control pipe: it is none', { line }),
    )
    folder.announce()
    for (const pid of waitingLaunchers(folder.controlPath)) this.#start(pid)
  }

  /** Ports that are published. */
  get count(): number {
    return this.#ports.size
  }

  #start(pid: number): void {
    // One that was found waiting has also asked.
    if (this.#ports.has(pid)) return
    const { folder, log, poller } = this.options
    let launcher: Launcher
    try {
      launcher = Launcher.open(pid, folder.controlPath)
    } catch (err) {
      if (!(err instanceof NotALauncherError)) throw err
      log.warn(`Refused a request on the control pipe: ${err.message}`, { pid })
      return
    }
    const hosted: HostedPort = { launcher }
    this.#ports.set(pid, hosted)
    poller.add(launcher.pidfd, EPOLL.IN, {
      ready: () => this.#end(hosted),
      fail: (err) => log.error(`A fault with the launcher of a port: ${String(err)}`, { pid }),
    })
    void this.#publish(hosted)
  }

  async #publish(hosted: HostedPort): Promise<void> {
    const { engine, log } = this.options
    const { launcher } = hosted
    const port = readPort(launcher)
    if (!port) {
      launcher.become()
      this.#end(hosted)
      return
    }
    try {
      // What is kept free is for telling this, and to be able to go on.
      if (this.#descriptors.exhausted) throw bindError(port, systemError('socket', ERRNO.EMFILE))
      const proxy = await engine.listen(port, { log, descriptors: this.#descriptors })
      if (this.#ports.get(launcher.pid) !== hosted) {
        proxy.close() // It has ended meanwhile.
        return
      }
      hosted.proxy = proxy
      // Its listener and its launcher take as many descriptors as a relay.
      this.#descriptors.take()
      launcher.ready()
      log.info(`Proxy listening on ${routeOf(port, proxy.address)}`, { launcher: launcher.pid })
      proxy.closed.catch((err: unknown) => {
        log.error(brokenListenerText(port, proxy.address, err))
        this.#end(hosted, EXIT_FAILED)
      })
    } catch (err) {
      if (!(err instanceof ListenError)) throw err
      launcher.failed(
        EXIT_FAILED,
        err.message,
        err.hint ? `${err.message} (${err.hint})` : err.message,
      )
      this.#end(hosted)
    } finally {
      if (port.listenFd !== undefined && !hosted.proxy) closeSync(port.listenFd)
    }
  }

  #stop(pid: number): void {
    const hosted = this.#ports.get(pid)
    if (!hosted) {
      this.options.log.warn('Refused a request on the control pipe: it has no port here', { pid })
      return
    }
    const { accepted, failedDials } = hosted.proxy?.counters ?? {}
    this.options.log.info('Proxy stopped', { launcher: pid, accepted, failedDials })
    this.#end(hosted, EXIT_DONE)
  }

  /** Closes a port, and only then lets the launcher end: it is free when the launcher's parent hears of it. */
  #end(hosted: HostedPort, exitCode?: number): void {
    const { launcher, proxy } = hosted
    if (this.#ports.get(launcher.pid) !== hosted) return
    this.#ports.delete(launcher.pid)
    if (proxy) {
      proxy.close()
      this.#descriptors.give()
    }
    if (exitCode !== undefined) launcher.exit(exitCode)
    this.options.poller.forget(launcher.pidfd)
    launcher.close()
  }
}

/** The port that a launcher was started for; undefined where it is the program's to answer: help, versions, bad flags. */
function readPort(launcher: Launcher): PublishedPort | undefined {
  const [, ...args] = launcher.command
  try {
    const flags = parseFlags(args)
    if (flags.version) return undefined
    const port = portOfFlags(flags)
    return port && flags.useListenFd ? { ...port, listenFd: launcher.takeListenFd() } : port
  } catch {
    return undefined
  }
}
