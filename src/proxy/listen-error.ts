import { errnoCode, errnoReason } from '../linux/errno.js'
import { ListenError } from './engine.js'
import {
  isPort,
  joinHostPort,
  MAX_PORT,
  networkName,
  routeOf,
  type PublishedPort,
} from './published-port.js'

/** The error of a bind or listen that failed, in the form dockerd's users know. */
export function bindError(port: PublishedPort, err: unknown): ListenError {
  const address = joinHostPort(port.hostIp, port.hostPort)
  const network = networkName(port.protocol, port.hostIp)
  // Go's library for SCTP gives the kernel's reason alone.
  const call = port.protocol === 'sctp' ? '' : `listen ${network} ${address}: bind: `
  return new ListenError(
    errnoCode(err) ?? 'EUNKNOWN',
    `failed to listen on ${address}: ${call}${errnoReason(err)}`,
    hintFor(port, err),
  )
}

/** What the log says when a proxy stops because its listener broke by itself. */
export function brokenListenerText(
  port: PublishedPort,
  listening: { ip: string; port: number },
  err: unknown,
): string {
  const address = joinHostPort(listening.ip, listening.port)
  const [verb, call] = port.protocol === 'udp' ? ['read', 'recvfrom'] : ['accept', 'accept']
  const reason = `${verb} ${port.protocol} ${address}: ${call}: ${errnoReason(err)}`
  return `Stopping proxy on ${routeOf(port, listening)} (${reason})`
}

function hintFor({ protocol, hostPort }: PublishedPort, err: unknown): string {
  if (!isPort(hostPort)) return `-host-port must be from 0 to ${MAX_PORT}`
  if (errnoCode(err) !== 'EPROTONOSUPPORT') return ''
  return `this kernel has no ${protocol}: load its module, as with modprobe ${protocol}`
}

/** The error that the kernel would give for a port that can't be. */
export function invalidArgument(): Error {
  return Object.assign(new Error('invalid argument'), { code: 'EINVAL' })
}
