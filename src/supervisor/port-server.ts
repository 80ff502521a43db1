import { closeSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { errnoCode, errnoReason } from '../linux/errno.js'
import type { PublicationChain } from '../linux/netfilter/withdrawal.js'
import { openPortSocket } from '../linux/sockets/port-socket.js'
import type { Log } from '../log/log.js'
import type { Claim } from '../ports/claims/claims.js'
import { formatHostPort, type HostPort } from '../ports/host-port.js'
import { bindFailedMessage } from '../ports/refusal.js'
import { formatFlags } from '../proxy/flags.js'
import { LISTEN_FD, SHARED_FIRST_LISTEN_FD } from '../proxy/inherited-descriptors.js'
import { optionEnvironment, type PortOptionTexts } from '../proxy/port-options.js'
import type { PublishedPort } from '../proxy/published-port.js'
import { BACKENDS_VARIABLE, formatBackendList, type BackendList } from '../status/backend-list.js'
import { CHAIN_VARIABLE, formatChain } from '../status/own-translation.js'
import { orderBackends, orderOptions } from '../status/proxy-orders.js'
import { fetchPortStatuses, type PortStatus } from '../status/port-status.js'
import {
  adoptProxyProcess,
  endLeftovers,
  startProxyProcess,
  type ProxyProcess,
} from './proxy-process.js'
import type { ProxyProgram } from './proxy-program.js'
import { RuntimeFiles } from './runtime-record.js'
import { SHARED_PROGRAM_NAME, type SharedTask } from './shared-task.js'
import { describeExit, Supervisor, type Supervised } from './supervisor.js'

const SHARED_PROGRAM = fileURLToPath(new URL(SHARED_PROGRAM_NAME, import.meta.url))

/** Stands in the flags of a proxy without a container. No connection to it is possible, see RFC 919. */
const NO_ADDRESS = '255.255.255.255'

/** Parts that all processes of a publication share. */
export interface ServerContext {
  readonly program: ProxyProgram
  readonly runFolder: string
  readonly log: Log
  readonly publication: string
  /** Returns the current options of each port, by name. */
  readonly options: () => PortOptionTexts
  /** Returns the current addresses of the containers. */
  readonly backends: () => BackendList
  /** Whether the ports are closed while there is no address. */
  readonly closesPorts: boolean
  /** The rules by which the kernel translates addresses for these ports as well; undefined if it does not. */
  readonly chain?: PublicationChain
}

/** A port of a publication. */
export interface ServedPort extends HostPort {
  /** Never used twice. */
  readonly id: string
  readonly containerPort: number
  readonly claim: Claim
  /** The bound socket; undefined for a port of an earlier daemon. */
  readonly socket?: number
}

/** One process and its ports: one port, or all ports of a publication. */
export class PortServer {
  readonly supervisor: Supervisor
  #id: string
  /** The port that was in use at the last attempt to bind the ports. */
  #taken: HostPort | undefined
  /** The changes of backends and options so far, one after the other. */
  #changes: Promise<void> = Promise.resolve()

  /**
   * @param firstId names the files of the first process
   * @param isShared whether one process serves all ports
   * @param listenFds the sockets of the ports that are already bound; the server closes them
   */
  constructor(
    private readonly context: ServerContext,
    firstId: string,
    readonly ports: readonly ServedPort[],
    private readonly isShared: boolean,
    listenFds: readonly number[] = ports.flatMap(({ socket }) => socket ?? []),
  ) {
    this.#id = firstId
    const supervised: Supervised = {
      name: this.name,
      bind: () => this.#keepSockets(this.#bind()),
      launch: (fds) => this.#launch(this.#id, fds),
    }
    this.supervisor = new Supervisor(supervised, context.log, this.#keepSockets(listenFds))
  }

  /** Adopts the process that an earlier daemon has started, or starts it again. */
  static async restore(
    context: ServerContext,
    id: string,
    ports: readonly ServedPort[],
    isShared: boolean,
  ): Promise<{ server: PortServer; isAdopted: boolean }> {
    const adopted = adoptProxyProcess(context.runFolder, id, context.log)
    const server = new PortServer(context, id, ports, isShared, adopted?.listenFds ?? [])
    if (adopted) {
      server.supervisor.adopt(adopted.process)
    } else if (!new RuntimeFiles(context.runFolder, id).areThere()) {
      // The earlier daemon has ended it.
      await server.#startEventually()
    } else {
      const status = await endLeftovers(context.runFolder, id)
      if (server.#isClosed) await server.supervisor.close()
      else server.supervisor.restart(`${describeExit(status)}, while no daemon was running`)
    }
    return { server, isAdopted: adopted !== undefined }
  }

  /** Names the files of the process. */
  get id(): string {
    return this.#id
  }

  /** The path of the process's status socket. */
  get statusSocket(): string {
    return this.#files.socketPath
  }

  /**
   * Starts a process of the installed program beside the present one, which it replaces.
   * @param nextId names its files
   * @returns the predecessor, which still accepts clients as well
   * Rejects with the reason if the present process goes on alone.
   */
  succeed(nextId: string): Promise<ProxyProcess> {
    return this.supervisor.succeed(async (fds) => {
      const next = await this.#launch(nextId, fds)
      this.#id = nextId
      return next
    })
  }

  async #launch(id: string, listenFds: readonly number[]): Promise<ProxyProcess> {
    const { context } = this
    const { runFolder, log } = context
    const [backends, options] = [formatBackendList(context.backends()), context.options()]
    const command = { id, runFolder, ...this.#command() }
    const started = await startProxyProcess(command, listenFds, log)
    // Changes during the start are sent once the process runs.
    if (formatBackendList(context.backends()) !== backends) {
      setImmediate(() => void this.changeBackends().catch(() => undefined))
    }
    if (context.options() !== options) {
      setImmediate(() => void this.changeOptions().catch(() => undefined))
    }
    return started
  }

  /** The port whose holder keeps this process from being started again. */
  get taken(): HostPort | undefined {
    return this.#taken
  }

  /** Starts the process, unless the ports are closed at present. Rejects with the reason if it does not get ready. */
  async start(): Promise<void> {
    if (this.#isClosed) await this.supervisor.close()
    else await this.supervisor.start()
  }

  /** `0.0.0.0:8080/tcp`, and the number of the other ports. */
  get name(): string {
    const [first, ...others] = this.ports
    if (!first) return 'no port'
    return formatHostPort(first) + (others.length > 0 ? ` and ${others.length} more` : '')
  }

  /** The status of each port, in their order; undefined if the process does not report it, like Docker's own docker-proxy. */
  async portStatuses(): Promise<readonly PortStatus[] | undefined> {
    if (!this.context.program.isOurs) return undefined
    return fetchPortStatuses(this.#files.socketPath).catch(() => undefined)
  }

  /**
   * Has the process forward to the current addresses. A process that takes no orders, like Docker's own docker-proxy, is replaced. Orders are
   * sent one after the other, so that the last one counts.
   */
  changeBackends(): Promise<void> {
    this.#changes = this.#changes.catch(() => undefined).then(() => this.#changeBackends())
    return this.#changes
  }

  /** Has the process follow the current options, and read the settings file again. Rejects if it does not. */
  changeOptions(): Promise<void> {
    this.#changes = this.#changes.catch(() => undefined).then(() => this.#changeOptions())
    return this.#changes
  }

  async #changeOptions(): Promise<void> {
    // Docker's own docker-proxy has none, and the next process starts with them.
    if (!this.context.program.isOurs || this.supervisor.status.pid === undefined) return
    await orderOptions(this.#files.socketPath, this.context.options())
  }

  async #changeBackends(): Promise<void> {
    const { pid, state } = this.supervisor.status
    if (this.#isClosed) return this.supervisor.close()
    if (state === 'closed') return this.supervisor.open()
    if (pid === undefined) return // The next process starts with the addresses.
    const id = this.#id
    try {
      await orderBackends(this.#files.socketPath, this.context.backends())
    } catch {
      // A successor has begun with the current addresses.
      if (this.#id === id) await this.supervisor.replace()
    }
  }

  async #startEventually(): Promise<void> {
    if (this.#isClosed) await this.supervisor.close()
    else await this.supervisor.startEventually()
  }

  /** Whether the ports have to be closed now. Docker's own docker-proxy can't be without a container. */
  get #isClosed(): boolean {
    const { backends, closesPorts, program } = this.context
    return backends().backends.length === 0 && (closesPorts || !program.isOurs)
  }

  get #files(): RuntimeFiles {
    return new RuntimeFiles(this.context.runFolder, this.#id)
  }

  #command() {
    const { program, publication, options, chain } = this.context
    const backends = this.context.backends()
    const env = {
      ...optionEnvironment(options()),
      ...(chain && { [CHAIN_VARIABLE]: formatChain(chain) }),
    }
    const ports = this.#publishedPorts(backends)
    if (this.isShared) {
      const task: SharedTask = { ports, backends }
      return {
        program: SHARED_PROGRAM,
        args: [publication],
        env,
        input: JSON.stringify(task),
        firstListenFd: SHARED_FIRST_LISTEN_FD,
      }
    }
    const [port] = ports
    if (!port) throw new Error('there is no port to serve')
    const args = formatFlags(port, program.takesSocket)
    const withBackends = { ...env, [BACKENDS_VARIABLE]: formatBackendList(backends) }
    return { program: program.path, args, env: withBackends, firstListenFd: LISTEN_FD }
  }

  #publishedPorts({ backends: [first] }: BackendList): PublishedPort[] {
    return this.ports.map(({ protocol, ip, port, containerPort }) => ({
      ...{ protocol, ip, port },
      container: { ip: first?.ip ?? NO_ADDRESS, port: containerPort },
    }))
  }

  #bind(): number[] {
    this.#taken = undefined
    const sockets: number[] = []
    for (const port of this.ports) {
      try {
        sockets.push(openPortSocket(port))
      } catch (err) {
        for (const socket of sockets) closeSync(socket)
        if (errnoCode(err) === 'EADDRINUSE') this.#taken = port
        throw new Error(bindFailedMessage(port, errnoReason(err)), { cause: err })
      }
    }
    return sockets
  }

  /** A proxy that accepts no socket binds the port itself. Binding it here was only the check. */
  #keepSockets(sockets: readonly number[]): number[] {
    if (this.isShared || this.context.program.takesSocket) return [...sockets]
    for (const socket of sockets) closeSync(socket)
    return []
  }
}
