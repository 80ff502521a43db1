import { userName } from '../linux/accounts.js'
import {
  eachSocket,
  processCommand,
  processContainer,
  processIds,
  processStartDate,
} from '../linux/proc/process.js'
import { addressesOverlap, isIpv6 } from '../linux/sockets/ip-address.js'
import { readSockets, type SocketFilter } from '../linux/sockets/socket-diagnostics.js'
import { isProxydCommand, proxyFlags } from '../proxy/proxy-command.js'
import { Turns } from '../turns.js'
import { joinHostPort, type HostPort, type Protocol } from './host-port.js'

/** The holder of a port. */
export type Holder =
  | PublicationHolder
  | ContainerHolder
  | ServiceHolder
  | ProcessHolder
  | UnknownHolder
  | ClosedConnection
  | UnlistedSocket

interface PublicationHolder {
  readonly kind: 'publication'
  readonly name: string
  /** The host's side, `0.0.0.0:8080`. */
  readonly address: string
  /** The container's side, `172.17.0.2:80`; empty while no container runs. */
  readonly backend: string
  /** The name of the container or service that the publication follows. */
  readonly container?: string
  /** The compose project of the container. */
  readonly project?: string
  /** ISO 8601. */
  readonly since: string
}

/** The Docker Engine publishes the port by rules of the firewall alone. */
interface ContainerHolder {
  readonly kind: 'container'
  readonly name: string
  /** The compose project of the container. */
  readonly project?: string
  readonly address: string
  readonly containerPort: number
}

/** The nodes of a swarm publish the port for a service, and no process here holds it. */
interface ServiceHolder {
  readonly kind: 'service'
  readonly name: string
  readonly address: string
  readonly containerPort: number
}

interface ProcessHolder {
  readonly kind: 'process'
  readonly address: string
  readonly pid: number
  readonly command: string
  readonly user: string
  /** ISO 8601; left out if it can't be read. */
  readonly since?: string
  /** The id of the container that the process runs in. */
  readonly container?: string
  /** Where a docker-proxy of dockerd forwards to: `172.17.0.2:80`. */
  readonly backend?: string
  /** The name of the container that it forwards to. */
  readonly publishes?: string
  /** The compose project of that container. */
  readonly project?: string
  /** The swarm service whose port dockerd holds. */
  readonly service?: string
  /** The other end, if a connection occupies the port and not a listener. */
  readonly remote?: string
}

/** The kernel knows the socket, but not its process, or this user may not see the process. */
interface UnknownHolder {
  readonly kind: 'unknown'
  readonly address: string
  readonly user: string
  readonly remote?: string
}

/** A connection whose process has closed it. The kernel keeps it for about a minute, in TIME_WAIT or until the other end has closed it. */
interface ClosedConnection {
  readonly kind: 'closed-connection'
  readonly address: string
  readonly remote: string
}

/** A socket that is bound, and neither listens nor is connected. Kernels before 6.8 list no such sockets. */
interface UnlistedSocket {
  readonly kind: 'unlisted'
  readonly address: string
}

/** A socket that occupies a port of this network namespace. */
export interface OccupyingSocket extends HostPort {
  readonly uid: number
  /** 0 once its process has closed it. */
  readonly inode: number
  /** The other end of a connection. */
  readonly remote?: string
  /** Whether an IPv6 socket leaves the IPv4 port alone; left out if the kernel does not tell. */
  readonly isIpv6Only?: boolean
}

/** Lists sockets that occupy ports. @param filter by default all that listen or are bound without a connection */
export function occupyingSockets(
  protocol: Protocol,
  filter: SocketFilter = { isUnconnected: true },
): OccupyingSocket[] {
  return readSockets(protocol, filter).map(({ local, remote, uid, inode, isIpv6Only }) => ({
    ...{ protocol, ...local, uid, inode },
    ...(remote.port === 0 ? {} : { remote: addressOf(remote) }),
    ...(isIpv6Only === undefined ? {} : { isIpv6Only }),
  }))
}

/**
 * Finds the holder of a port which the kernel refused to bind: a listener, else a connection that uses the port on this host.
 * @returns undefined if no socket in the kernel's tables occupies the port
 */
export async function findHolder(port: HostPort): Promise<Holder | undefined> {
  const { protocol } = port
  const find = (filter: SocketFilter): OccupyingSocket[] =>
    occupyingSockets(protocol, filter).filter((each) => excludes(each, port))
  const unconnected = find({ port: port.port, isUnconnected: true })
  const sockets = unconnected.length > 0 ? unconnected : find({ port: port.port })
  // An IPv6 wildcard may be dual-stack or not, so it is the holder only if no other socket is. A closed connection often excludes nothing.
  const rank = ({ ip, inode }: OccupyingSocket): number =>
    Number(isIpv6(ip) !== isIpv6(port.ip)) + 2 * Number(inode === 0)
  const [socket] = sockets.sort((a, b) => rank(a) - rank(b))
  return socket && describeHolder(socket)
}

/** Describes the process that has a socket. */
async function describeHolder(socket: OccupyingSocket): Promise<Holder> {
  const { inode, remote } = socket
  const address = addressOf(socket)
  if (inode === 0 && remote !== undefined) return { kind: 'closed-connection', address, remote }
  const processes = (await ownersOf(inode)).map((pid) => describeProcess(pid, socket))
  // A proxy's parent has the socket as well, but only the proxy knows the container.
  const holder =
    processes.find(({ backend }) => backend !== undefined) ??
    (processes.some(mayServeLaunchers) ? describeLauncher(socket) : undefined) ??
    processes[0]
  if (holder) return holder
  return { kind: 'unknown', address, user: userName(socket.uid), ...remoteOf(socket) }
}

/** The processes that have a socket. */
async function ownersOf(inode: number): Promise<number[]> {
  const turns = new Turns()
  const owners: number[] = []
  for (const pid of processIds()) {
    for (const [, each] of eachSocket(pid)) {
      if (turns.isOver) await turns.next()
      if (each !== inode) continue
      owners.push(pid)
      break
    }
    if (turns.isOver) await turns.next()
  }
  return owners
}

/** Whether a socket prevents binding a port. */
function excludes(socket: OccupyingSocket, { ip, port }: HostPort): boolean {
  if (socket.port !== port) return false
  // The IPv6 wildcard of another process may be dual-stack, and then occupies the IPv4 port as well.
  if (socket.ip === '::') return isIpv6(ip) || socket.isIpv6Only !== true
  return addressesOverlap(socket.ip, ip)
}

function remoteOf({ remote }: OccupyingSocket): { remote?: string } {
  return remote === undefined ? {} : { remote }
}

function describeProcess(pid: number, socket: OccupyingSocket): ProcessHolder {
  const command = processCommand(pid) ?? []
  const since = processStartDate(pid)
  const container = processContainer(pid)
  const flags = proxyFlags(command)
  return {
    kind: 'process',
    address: addressOf(socket),
    pid,
    command: command.join(' '),
    user: userName(socket.uid),
    ...(since === undefined ? {} : { since: new Date(since).toISOString() }),
    ...(container === undefined ? {} : { container }),
    ...(flags ? { backend: joinHostPort(flags.container.ip, flags.container.port) } : {}),
    ...remoteOf(socket),
  }
}

/** Whether a process may serve the ports of docker-proxies that have handed theirs over. */
function mayServeLaunchers({ pid }: ProcessHolder): boolean {
  return isProxydCommand(processCommand(pid) ?? [])
}

/** Describes the docker-proxy that has handed its port over. */
function describeLauncher(socket: OccupyingSocket): ProcessHolder | undefined {
  const launcher = processIds().find((pid) => {
    const flags = proxyFlags(processCommand(pid) ?? [])
    if (!flags) return false
    const { protocol, ip, port } = flags
    return protocol === socket.protocol && ip === socket.ip && port === socket.port
  })
  return launcher === undefined ? undefined : describeProcess(launcher, socket)
}

function addressOf({ ip, port }: { readonly ip: string; readonly port: number }): string {
  return joinHostPort(ip, port)
}
