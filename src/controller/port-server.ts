import { closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errnoReason } from '../linux/errno.js'
import { openPortSocket } from '../linux/port-socket.js'
import type { Log } from '../log/log.js'
import { joinHostPort, type PublishedPort } from '../proxy/published-port.js'
import { askPorts, type PortStatus } from '../proxyd/port-status.js'
import type { Claim } from './claim.js'
import { bindText } from './conflict.js'
import { adoptProxyProcess, endLeftovers, startProxyProcess } from './proxy-process.js'
import { proxyArguments, type ProxyProgram } from './proxy-program.js'
import { RuntimeFiles } from './runtime-record.js'
import type { SavedPort } from './state-file.js'
import { describeExit, Supervisor, type Supervised } from './supervisor.js'

/** Serves all ports that it is told of on stdin, with the sockets from this descriptor on; those below may be its shell's. */
const SHARED_PROGRAM = fileURLToPath(new URL('docker-publish-shared', import.meta.url))
const SHARED_FIRST_FD = 10
/** Where a docker-proxy expects its socket. */
const PROXY_FD = 4

/** What serving ports takes. */
export interface ServerContext {
  readonly program: ProxyProgram
  readonly runFolder: string
  readonly log: Log
  readonly publication: string
  /** The container's address. */
  readonly backend: string
}

/** A port of a publication, and how others are let have it. */
export interface HeldPort {
  readonly saved: SavedPort
  readonly release: () => void
}

/** What one process serves: a port, or all of a publication. */
export class PortServer {
  readonly supervisor: Supervisor

  /**
   * @param id names its files
   * @param isShared whether it is one for all ports
   * @param fds the sockets of the ports where they are bound already; they are the server's from now on
   */
  constructor(
    private readonly context: ServerContext,
    readonly id: string,
    readonly ports: readonly HeldPort[],
    private readonly isShared: boolean,
    fds: readonly number[],
  ) {
    const { runFolder, log } = context
    const common = { id, runFolder }
    const supervised: Supervised = {
      name: this.name,
      bind: () => this.#own(this.#bind()),
      launch: (listenFds) => startProxyProcess({ ...common, ...this.#command() }, listenFds),
    }
    this.supervisor = new Supervisor(supervised, log, this.#own(fds))
  }

  /** Goes on with a process that an earlier daemon has started, if it still runs; returns whether it does. */
  static async restore(
    context: ServerContext,
    id: string,
    ports: readonly HeldPort[],
    isShared: boolean,
  ): Promise<{ server: PortServer; isAdopted: boolean }> {
    const adopted = adoptProxyProcess(context.runFolder, id)
    const server = new PortServer(context, id, ports, isShared, adopted?.listenFds ?? [])
    if (adopted) {
      server.supervisor.adopt(adopted.process)
    } else {
      const status = await endLeftovers(context.runFolder, id)
      server.supervisor.restart(`${describeExit(status)}, while no daemon was running`)
    }
    return { server, isAdopted: adopted !== undefined }
  }

  /** `0.0.0.0:8080/tcp`, or how many there are. */
  get name(): string {
    const [first, ...others] = this.ports
    if (!first) return 'no port'
    const { protocol, hostIp, hostPort } = first.saved
    const more = others.length > 0 ? ` and ${others.length} more` : ''
    return `${joinHostPort(hostIp, hostPort)}/${protocol}${more}`
  }

  /** What a process of several ports tells of each, in their order; undefined where it can't be asked. */
  async counters(): Promise<readonly PortStatus[] | undefined> {
    return this.isShared ? askPorts(this.#files.socketPath).catch(() => undefined) : undefined
  }

  get #files(): RuntimeFiles {
    return new RuntimeFiles(this.context.runFolder, this.id)
  }

  #command() {
    const { program, backend, publication } = this.context
    if (this.isShared) {
      const told = { socket: this.#files.socketPath, ports: this.#publishedPorts() }
      return {
        program: SHARED_PROGRAM,
        args: [publication],
        input: JSON.stringify(told),
        firstListenFd: SHARED_FIRST_FD,
      }
    }
    const [port] = this.#publishedPorts()
    if (!port) throw new Error('there is no port to serve')
    const claim = { protocol: port.protocol, ip: port.hostIp, port: port.hostPort }
    const args = proxyArguments(program, claim, { ip: backend, port: port.containerPort })
    return { program: program.path, args, firstListenFd: PROXY_FD }
  }

  #publishedPorts(): PublishedPort[] {
    return this.ports.map(({ saved: { protocol, hostIp, hostPort, containerPort } }) => ({
      ...{ protocol, hostIp, hostPort, containerPort },
      containerIp: this.context.backend,
    }))
  }

  #bind(): number[] {
    const fds: number[] = []
    for (const { saved } of this.ports) {
      const claim = claimOf(saved)
      try {
        fds.push(openPortSocket(claim.protocol, claim.ip, claim.port))
      } catch (err) {
        for (const fd of fds) closeSync(fd)
        throw new Error(bindText(claim, errnoReason(err)), { cause: err })
      }
    }
    return fds
  }

  /** A proxy that takes no socket binds the port itself: ours was only the check. */
  #own(fds: readonly number[]): number[] {
    if (this.isShared || this.context.program.takesSocket) return [...fds]
    for (const fd of fds) closeSync(fd)
    return []
  }
}

export function claimOf({ protocol, hostIp, hostPort }: SavedPort): Claim {
  return { protocol, ip: hostIp, port: hostPort }
}
