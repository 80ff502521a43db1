import { randomUUID } from 'node:crypto'
import { closeSync } from 'node:fs'
import { errnoReason } from '../linux/errno.js'
import { openPortSocket } from '../linux/port-socket.js'
import type { Log } from '../log/log.js'
import { joinHostPort } from '../proxy/published-port.js'
import type { BoundPort } from './allocator.js'
import type { PortView, PublicationEvent, PublicationView } from './api/types.js'
import type { Claim } from './claim.js'
import { bindText, Refusal } from './conflict.js'
import type { CountConnections } from './connections.js'
import { inParallel } from './in-parallel.js'
import { adoptProxyProcess, endLeftovers, startProxyProcess } from './proxy-process.js'
import { proxyArguments, type ProxyProgram } from './proxy-program.js'
import type { SavedPort, SavedPublication } from './state-file.js'
import { describeExit, Supervisor } from './supervisor.js'

/** How many proxies of a publication start at once: on few cores more would only wait for each other. */
const STARTS_AT_ONCE = 4

/** What a publication needs from its controller. */
export interface PublicationContext {
  readonly program: ProxyProgram
  readonly runFolder: string
  readonly log: Log
  readonly event: (event: Omit<PublicationEvent, 'time'>) => void
}

interface Port {
  readonly saved: SavedPort
  readonly supervisor: Supervisor
  /** Lets other publications have the port. */
  readonly release: () => void
}

/** The ports of one container that are published together: all of them, or none. */
export class Publication {
  readonly name: string
  readonly backend: string
  /** ISO 8601. */
  readonly created: string
  readonly #context: PublicationContext
  #ports: Port[] = []

  constructor(
    { name, backend, created }: Omit<SavedPublication, 'ports'>,
    context: PublicationContext,
  ) {
    this.name = name
    this.backend = backend
    this.created = created
    this.#context = context
  }

  /**
   * Serves ports that are bound; their sockets are the publication's from now on.
   * Rejects with Refusal when one proxy does not get ready; it is for the caller to stop the others.
   */
  async start(bound: readonly BoundPort[]): Promise<void> {
    this.#ports = bound.map(({ protocol, ip, port, containerPort, fd, release }) => {
      const saved = { id: randomUUID(), protocol, hostIp: ip, hostPort: port, containerPort }
      return { saved, release, supervisor: this.#supervise(saved, this.#listenFd(fd)) }
    })
    try {
      await inParallel(STARTS_AT_ONCE, this.#ports, ({ supervisor }) => supervisor.start())
    } catch (err) {
      throw new Refusal('proxy-failed', `can't start the proxy: ${errnoReason(err)}`)
    }
  }

  /**
   * Goes on where an earlier daemon left off: proxies that still run are adopted, all others started.
   * @param hold takes the port from other publications
   */
  async restore(
    ports: readonly SavedPort[],
    hold: (claim: Claim, containerPort: number) => () => void,
  ): Promise<void> {
    this.#ports = await inParallel(STARTS_AT_ONCE, ports, async (saved) => {
      const release = hold(claimOf(saved), saved.containerPort)
      const adopted = adoptProxyProcess(this.#context.runFolder, saved.id)
      const { listenFd } = adopted ?? {}
      const supervisor = this.#supervise(
        saved,
        listenFd === undefined ? undefined : this.#listenFd(listenFd),
      )
      if (adopted) {
        supervisor.adopt(adopted.process)
        this.#event('adopted', saved)
      } else {
        const status = await endLeftovers(this.#context.runFolder, saved.id)
        supervisor.restart(`${describeExit(status)}, while no daemon was running`)
      }
      return { saved, supervisor, release }
    })
  }

  /** What is to be kept on disk. */
  get saved(): SavedPublication {
    const { name, backend, created } = this
    return { name, backend, created, ports: this.#ports.map((port) => port.saved) }
  }

  view(countConnections: CountConnections): PublicationView {
    const ports = this.#ports.map(({ saved, supervisor }): PortView => {
      const { protocol, hostIp, hostPort, containerPort } = saved
      return {
        ...{ protocol, hostIp, hostPort, containerPort },
        ...supervisor.status,
        connections: countConnections(claimOf(saved), supervisor.status.pid),
        holdsSocket: supervisor.holdsSocket,
      }
    })
    return { name: this.name, backend: this.backend, created: this.created, ports }
  }

  /** Withdraws all ports; each is free when this resolves. */
  async stop(): Promise<void> {
    await Promise.all(this.#ports.map(({ supervisor }) => supervisor.stop()))
    for (const { release } of this.#ports) release()
  }

  /** Leaves the proxies running, for another daemon to adopt. */
  leave(): void {
    for (const { supervisor } of this.#ports) supervisor.leave()
  }

  #supervise(saved: SavedPort, listenFd: number | undefined): Supervisor {
    const { program, runFolder, log } = this.#context
    const claim = claimOf(saved)
    const args = proxyArguments(program, claim, { ip: this.backend, port: saved.containerPort })
    const port = {
      name: portName(saved),
      bind: () => this.#bind(claim),
      launch: (fd: number | undefined) =>
        startProxyProcess({ id: saved.id, runFolder, program: program.path, args }, fd),
    }
    const supervisor = new Supervisor(port, log, listenFd)
    supervisor.on('exited', (reason) => this.#event('proxy-exited', saved, reason))
    supervisor.on('restarted', () => this.#event('proxy-restarted', saved))
    return supervisor
  }

  #bind(claim: Claim): number | undefined {
    try {
      return this.#listenFd(openPortSocket(claim.protocol, claim.ip, claim.port))
    } catch (err) {
      throw new Error(bindText(claim, errnoReason(err)), { cause: err })
    }
  }

  /** A proxy that takes no socket binds the port itself: ours was only the check. */
  #listenFd(fd: number): number | undefined {
    if (this.#context.program.takesSocket) return fd
    closeSync(fd)
    return undefined
  }

  #event(type: PublicationEvent['type'], saved: SavedPort, reason?: string): void {
    const event = { type, publication: this.name, port: portName(saved) }
    this.#context.event(reason === undefined ? event : { ...event, reason })
  }
}

function claimOf({ protocol, hostIp, hostPort }: SavedPort): Claim {
  return { protocol, ip: hostIp, port: hostPort }
}

/** `0.0.0.0:8080/tcp` */
function portName({ protocol, hostIp, hostPort }: SavedPort): string {
  return `${joinHostPort(hostIp, hostPort)}/${protocol}`
}
