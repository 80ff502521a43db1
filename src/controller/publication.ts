import { randomUUID } from 'node:crypto'
import { errnoReason } from '../linux/errno.js'
import type { Log } from '../log/log.js'
import type { BoundPort } from './allocator.js'
import type { Isolation, PortView, PublicationEvent, PublicationView } from './api/types.js'
import type { Claim } from './claim.js'
import { Refusal } from './conflict.js'
import type { CountConnections } from './connections.js'
import { inParallel } from './in-parallel.js'
import { claimOf, PortServer, type HeldPort, type ServerContext } from './port-server.js'
import type { ProxyProgram } from './proxy-program.js'
import type { SavedPort, SavedPublication } from './state-file.js'

/** How many proxies of a publication start at once: on few cores more would only wait for each other. */
const STARTS_AT_ONCE = 4

/** What a publication needs from its controller. */
export interface PublicationContext {
  readonly program: ProxyProgram
  readonly runFolder: string
  readonly log: Log
  readonly event: (event: Omit<PublicationEvent, 'time'>) => void
}

/** The ports of one container that are published together: all of them, or none. */
export class Publication {
  readonly name: string
  readonly backend: string
  /** ISO 8601. */
  readonly created: string
  readonly #context: PublicationContext
  /** Names the files of the one process that serves all ports. */
  readonly #shared: string | undefined
  #servers: readonly PortServer[] = []

  constructor(
    { name, backend, created, shared }: Omit<SavedPublication, 'ports'>,
    context: PublicationContext,
  ) {
    this.name = name
    this.backend = backend
    this.created = created
    this.#shared = shared
    this.#context = context
  }

  /**
   * Serves ports that are bound; their sockets are the publication's from now on.
   * Rejects with Refusal when one proxy does not get ready; it is for the caller to stop the others.
   */
  async start(bound: readonly BoundPort[]): Promise<void> {
    const held = bound.map(({ protocol, ip, port, containerPort, release }): HeldPort => ({
      saved: { id: randomUUID(), protocol, hostIp: ip, hostPort: port, containerPort },
      release,
    }))
    const fds = new Map(held.map((each, i) => [each, bound[i]?.fd ?? -1]))
    this.#servers = this.#divide(held).map(({ id, ports }) => {
      const own = ports.map((port) => fds.get(port) ?? -1)
      return this.#watch(
        new PortServer(this.#serverContext, id, ports, this.isolation === 'shared', own),
      )
    })
    try {
      await inParallel(STARTS_AT_ONCE, this.#servers, ({ supervisor }) => supervisor.start())
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
    const held = ports.map((saved) => ({
      saved,
      release: hold(claimOf(saved), saved.containerPort),
    }))
    this.#servers = await inParallel(STARTS_AT_ONCE, this.#divide(held), async ({ id, ports }) => {
      const isShared = this.isolation === 'shared'
      const restored = await PortServer.restore(this.#serverContext, id, ports, isShared)
      if (restored.isAdopted) this.#event('adopted', restored.server)
      return this.#watch(restored.server)
    })
  }

  get isolation(): Isolation {
    return this.#shared === undefined ? 'process' : 'shared'
  }

  /** What is to be kept on disk. */
  get saved(): SavedPublication {
    const { name, backend, created } = this
    const shared = this.#shared === undefined ? {} : { shared: this.#shared }
    const ports = this.#servers.flatMap((server) => server.ports.map(({ saved }) => saved))
    return { name, backend, created, ...shared, ports }
  }

  async view(countConnections: CountConnections): Promise<PublicationView> {
    const views = this.#servers.map((server) => viewsOf(server, countConnections))
    const { name, backend, created, isolation } = this
    return { name, backend, created, isolation, ports: (await Promise.all(views)).flat() }
  }

  /** Withdraws all ports; each is free when this resolves. */
  async stop(): Promise<void> {
    await Promise.all(this.#servers.map(({ supervisor }) => supervisor.stop()))
    for (const { ports } of this.#servers) for (const { release } of ports) release()
  }

  /** Leaves the proxies running, for another daemon to adopt. */
  leave(): void {
    for (const { supervisor } of this.#servers) supervisor.leave()
  }

  get #serverContext(): ServerContext {
    const { program, runFolder, log } = this.#context
    return { program, runFolder, log, publication: this.name, backend: this.backend }
  }

  /** Which ports one process serves, and what names its files. */
  #divide(ports: readonly HeldPort[]): { id: string; ports: readonly HeldPort[] }[] {
    if (this.#shared !== undefined) return [{ id: this.#shared, ports }]
    return ports.map((port) => ({ id: port.saved.id, ports: [port] }))
  }

  #watch(server: PortServer): PortServer {
    server.supervisor.on('exited', (reason) => this.#event('proxy-exited', server, reason))
    server.supervisor.on('restarted', () => this.#event('proxy-restarted', server))
    return server
  }

  #event(type: PublicationEvent['type'], server: PortServer, reason?: string): void {
    const event = { type, publication: this.name, port: server.name }
    this.#context.event(reason === undefined ? event : { ...event, reason })
  }
}

async function viewsOf(server: PortServer, count: CountConnections): Promise<PortView[]> {
  const { status, holdsSocket } = server.supervisor
  const counters = await server.counters()
  return server.ports.map(({ saved }, i): PortView => {
    const { protocol, hostIp, hostPort, containerPort } = saved
    const own = counters?.[i]
    return {
      ...{ protocol, hostIp, hostPort, containerPort },
      ...status,
      connections: own ? own.active : count(claimOf(saved), status.pid),
      ...(own ? { bytesIn: own.bytesIn, bytesOut: own.bytesOut } : {}),
      holdsSocket,
    }
  })
}
