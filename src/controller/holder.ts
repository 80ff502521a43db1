import { readFileSync } from 'node:fs'
import { isIPv6 } from 'node:net'
import {
  processCommand,
  processContainer,
  processIds,
  processStartDate,
  socketsOf,
} from '../linux/process.js'
import { readSocketTable, STATE, type SocketRow } from '../linux/socket-table.js'
import { parseFlags, type Flags } from '../proxy/flags.js'
import { joinHostPort } from '../proxy/published-port.js'
import { isWildcard, type Claim } from './claim.js'

/** Who holds a port. */
export type Holder = PublicationHolder | ProcessHolder | UnknownHolder

interface PublicationHolder {
  readonly kind: 'publication'
  readonly name: string
  /** Where it listens, `0.0.0.0:8080`, and the container's side, `172.17.0.2:80`. */
  readonly address: string
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
  /** ISO 8601; left out when it could not be read. */
  readonly since?: string
  /** The id of the container it runs in. */
  readonly container?: string
  /** Where a docker-proxy of dockerd sends what comes: `172.17.0.2:80`. */
  readonly backend?: string
}

/** The kernel knows the socket, but we may not see whose it is. */
interface UnknownHolder {
  readonly kind: 'unknown'
  readonly address: string
  readonly user: string
}

/**
 * The process that holds a port which the kernel would not give us: read from the kernel's tables of sockets
 * and the descriptors of all processes. Undefined when it has gone meanwhile.
 */
export function findHolder(claim: Claim): Holder | undefined {
  const rows = readSocketTable(claim.protocol).filter((row) => holdsPort(row, claim))
  // Another's wildcard of IPv6 may be dual-stack or not: it comes last, if nobody else has the port.
  const isForeign = (row: SocketRow): boolean => isIPv6(row.localIp) !== isIPv6(claim.ip)
  const [first] = rows.sort((a, b) => Number(isForeign(a)) - Number(isForeign(b)))
  if (!first) return undefined

  const holders = processIds()
    .filter((pid) => [...socketsOf(pid).values()].includes(first.inode))
    .map((pid) => describeProcess(pid, first))
  // Whoever started a proxy has its socket as well, but the proxy knows the container.
  const holder =
    holders.find(({ backend }) => backend !== undefined) ??
    (holders.some(servesLaunchers) ? describeLauncher(claim, first) : undefined) ??
    holders[0]
  return holder ?? { kind: 'unknown', address: addressOf(first), user: userName(first.uid) }
}

function holdsPort(row: SocketRow, claim: Claim): boolean {
  if (row.localPort !== claim.port) return false
  const listens = claim.protocol === 'udp' ? row.state === STATE.close : row.state === STATE.listen
  if (!listens) return false
  if (row.localIp === claim.ip) return true
  // Another's wildcard of IPv6 may be dual-stack, and takes IPv4's port as well.
  if (row.localIp === '::') return true
  const sameFamily = isIPv6(row.localIp) === isIPv6(claim.ip)
  return sameFamily && (isWildcard(row.localIp) || isWildcard(claim.ip))
}

function describeProcess(pid: number, row: SocketRow): ProcessHolder {
  const command = (processCommand(pid) ?? []).join(' ')
  const since = processStartDate(pid)
  const container = processContainer(pid)
  const backend = proxyBackend(command)
  return {
    kind: 'process',
    address: addressOf(row),
    pid,
    command,
    user: userName(row.uid),
    ...(since === undefined ? {} : { since: new Date(since).toISOString() }),
    ...(container === undefined ? {} : { container }),
    ...(backend === undefined ? {} : { backend }),
  }
}

/** Whether it may have the ports of docker-proxies that have handed theirs over. */
function servesLaunchers({ command }: ProcessHolder): boolean {
  return /\bdocker-(proxyd|publish)\b/.test(command)
}

/** The docker-proxy that has handed its port over. */
function describeLauncher({ protocol }: Claim, row: SocketRow): ProcessHolder | undefined {
  const launcher = processIds().find((pid) => {
    const flags = proxyFlags((processCommand(pid) ?? []).join(' '))
    const { proto, hostIp, hostPort } = flags ?? {}
    return proto === protocol && hostIp === row.localIp && hostPort === row.localPort
  })
  return launcher === undefined ? undefined : describeProcess(launcher, row)
}

/** The container's side of a docker-proxy. */
function proxyBackend(command: string): string | undefined {
  const flags = proxyFlags(command)
  return flags && joinHostPort(flags.containerIp, flags.containerPort)
}

function proxyFlags(command: string): Flags | undefined {
  // Its interpreter may come first.
  const flags = /^(?:\S+ )?\S*\bdocker-proxy (-.*)$/.exec(command)?.[1]
  if (flags === undefined) return undefined
  try {
    return parseFlags(flags.split(' '))
  } catch {
    return undefined
  }
}

function addressOf({ localIp, localPort }: SocketRow): string {
  return joinHostPort(localIp, localPort)
}

/** passwd(5): the user's name, or the number where it has none. */
function userName(uid: number): string {
  try {
    const line = readFileSync('/etc/passwd', 'utf8')
      .split('\n')
      .find((l) => l.split(':')[2] === String(uid))
    return line?.split(':')[0] ?? String(uid)
  } catch {
    return String(uid)
  }
}
