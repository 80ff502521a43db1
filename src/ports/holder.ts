import { readFileSync } from 'node:fs'
import {
  processCommand,
  processContainer,
  processIds,
  processSockets,
  processStartDate,
} from '../linux/proc/process.js'
import { readSocketTable, STATE, type SocketRow } from '../linux/proc/socket-table.js'
import { isIpv6, isWildcard } from '../linux/sockets/ip-address.js'
import { proxyFlags } from '../proxy/proxy-command.js'
import { joinHostPort, type HostPort, type Protocol } from './host-port.js'

/** The holder of a port. */
export type Holder = PublicationHolder | ProcessHolder | UnknownHolder

interface PublicationHolder {
  readonly kind: 'publication'
  readonly name: string
  /** The host's side, `0.0.0.0:8080`. */
  readonly address: string
  /** The container's side, `172.17.0.2:80`. */
  readonly backend: string
  /** ISO 8601. */
  readonly since: string
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
}

/** The kernel knows the socket, but not its process, or this user may not see the process. */
interface UnknownHolder {
  readonly kind: 'unknown'
  readonly address: string
  readonly user: string
}

/** A socket that occupies a port of this network namespace. */
export interface OccupyingSocket extends HostPort {
  readonly uid: number
  readonly inode: number
}

/** Lists all sockets that occupy ports, from the kernel's tables. */
export function occupyingSockets(protocol: Protocol): OccupyingSocket[] {
  return readSocketTable(protocol)
    .filter((row) => occupiesPort(protocol, row))
    .map(({ local, uid, inode }) => ({ protocol, ...local, uid, inode }))
}

/**
 * Finds the process that holds a port which the kernel refused to bind.
 * @returns undefined if the holder has gone meanwhile
 */
export function findHolder(port: HostPort): Holder | undefined {
  const sockets = occupyingSockets(port.protocol).filter((socket) => excludes(socket, port))
  // An IPv6 wildcard may be dual-stack or not, so it is the holder only if no other socket is.
  const isOtherFamily = ({ ip }: HostPort): boolean => isIpv6(ip) !== isIpv6(port.ip)
  const [socket] = sockets.sort((a, b) => Number(isOtherFamily(a)) - Number(isOtherFamily(b)))
  return socket && describeHolder(socket)
}

/** Describes the process that has a socket. */
function describeHolder(socket: OccupyingSocket): Holder {
  const processes = processIds()
    .filter((pid) => [...processSockets(pid).values()].includes(socket.inode))
    .map((pid) => describeProcess(pid, socket))
  // A proxy's parent has the socket as well, but only the proxy knows the container.
  const holder =
    processes.find(({ backend }) => backend !== undefined) ??
    (processes.some(mayServeLaunchers) ? describeLauncher(socket) : undefined) ??
    processes[0]
  return holder ?? { kind: 'unknown', address: addressOf(socket), user: userName(socket.uid) }
}

/** A UDP socket without a remote address is in the state CLOSE. */
function occupiesPort(protocol: Protocol, { state }: SocketRow): boolean {
  return state === (protocol === 'udp' ? STATE.close : STATE.listen)
}

/** Whether a socket prevents binding a port. */
function excludes(socket: OccupyingSocket, { ip, port }: HostPort): boolean {
  if (socket.port !== port) return false
  // The IPv6 wildcard of another process may be dual-stack, and then occupies the IPv4 port as well.
  if (socket.ip === ip || socket.ip === '::') return true
  const isSameFamily = isIpv6(socket.ip) === isIpv6(ip)
  return isSameFamily && (isWildcard(socket.ip) || isWildcard(ip))
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
  }
}

/** Whether a process may serve the ports of docker-proxies that have handed theirs over. */
function mayServeLaunchers({ command }: ProcessHolder): boolean {
  return /\bdocker-(proxyd|publish)\b/.test(command)
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

function addressOf({ ip, port }: HostPort): string {
  return joinHostPort(ip, port)
}

/** The user's name, or the number of a user without a name. Source: passwd(5). */
function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((each) => each.split(':')[2] === String(uid))
    return line?.split(':')[0] ?? String(uid)
  } catch {
    return String(uid)
  }
}
