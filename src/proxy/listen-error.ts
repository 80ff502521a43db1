import { errnoCode, errnoReason } from '../linux/errno.js'
import type { SocketAddress } from '../linux/sockets/socket-address.js'
import { isPort, joinHostPort, MAX_PORT } from '../ports/host-port.js'
import { ListenError } from './engine.js'
import { formatRoute, networkName, type PublishedPort } from './published-port.js'

/** The error of a failed bind or listen, in the form that dockerd's users know. */
export function bindError(port: PublishedPort, err: unknown): ListenError {
  const address = joinHostPort(port.ip, port.port)
  const network = networkName(port.protocol, port.ip)
  // Go's SCTP library reports only the kernel's reason.
  const call = port.protocol === 'sctp' ? '' : `listen ${network} ${address}: bind: `
  return new ListenError(
    errnoCode(err) ?? 'EUNKNOWN',
    `failed to listen on ${address}: ${call}${errnoReason(err)}`,
    hintFor(port, err),
  )
}

/** The error of a process whose descriptors would not suffice for a single connection. */
export function tooFewDescriptors(port: PublishedPort): ListenError {
  const { code, message } = bindError(port, Object.assign(new Error(), { code: 'EMFILE' }))
  return new ListenError(code, message, 'raise the limit, for example with ulimit -n 1024')
}

/** The log line for a proxy that stops because its listener broke. @param listening the actual address */
export function brokenListenerMessage(
  port: PublishedPort,
  listening: SocketAddress,
  err: unknown,
): string {
  const address = joinHostPort(listening.ip, listening.port)
  const [verb, call] = port.protocol === 'udp' ? ['read', 'recvfrom'] : ['accept', 'accept']
  const reason = `${verb} ${port.protocol} ${address}: ${call}: ${errnoReason(err)}`
  return `Stopping proxy on ${formatRoute(port, listening)} (${reason})`
}

function hintFor({ protocol, port }: PublishedPort, err: unknown): string {
  if (!isPort(port)) return `-host-port must be between 0 and ${MAX_PORT}`
  if (errnoCode(err) === 'EACCES') {
    return 'ports below net.ipv4.ip_unprivileged_port_start, by default 1024, need root'
  }
  if (errnoCode(err) !== 'EPROTONOSUPPORT') return ''
  return `this kernel has no ${protocol}: load its module, for example with modprobe ${protocol}`
}

/** The error of a dial that nobody accepts. */
export function refusedConnection(): Error {
  return Object.assign(new Error('connection refused'), { code: 'ECONNREFUSED' })
}

/** The error of a dial that takes too long. */
export function dialTimedOut(): Error {
  return Object.assign(new Error('connection timed out'), { code: 'ETIMEDOUT' })
}

/** The error that the kernel would give for a port that does not exist. */
export function invalidArgument(): Error {
  return Object.assign(new Error('invalid argument'), { code: 'EINVAL' })
}
