import type { PortRange } from '../linux/proc/ephemeral-ports.js'
import { isIpv6, parseIp } from '../linux/sockets/ip-address.js'
import { Turns } from '../turns.js'
import { isProtocol, MAX_PORT, type HostPort } from './host-port.js'

/*
 * The grammar of `-p`, as `docker run` and docker services accept it.
 */

/** A request to publish one container port. */
export interface PortRequest extends Pick<HostPort, 'protocol'> {
  /** Undefined for all addresses of both families. */
  readonly ip: string | undefined
  /** One of these host ports; undefined for any free port. */
  readonly hostPorts: PortRange | undefined
  readonly containerPort: number
}

/** An invalid `-p`. The message quotes it, and says what was expected. */
export class PortSpecError extends Error {
  override readonly name = 'PortSpecError'
  readonly code = 'EBADPORT'

  constructor(spec: string, reason: string) {
    super(`invalid port ${JSON.stringify(spec)}: ${reason}`)
  }
}

/** The grammar of `-p`. */
export const PORT_GRAMMAR =
  '[[hostIP:][hostPort[-hostPortEnd]]:]containerPort[-containerPortEnd][/tcp|/udp|/sctp]'
const FORM = `expected ${PORT_GRAMMAR}, for example 8080:80`

/**
 * Parses one `-p` into a request for each container port.
 * @throws PortSpecError
 */
export function parsePortSpec(spec: string): PortRequest[] {
  return [...parseEach(spec)]
}

/** Ports that one request may name: as many as a protocol has. */
const MAX_PORTS = MAX_PORT

/**
 * Parses several `-p`, in turns of the event loop, because a short range may stand for thousands of ports.
 * @param defaultIp the host IP of those without one; undefined for all addresses
 * @returns a request for each container port, MAX_PORTS at most
 * Rejects with PortSpecError.
 */
export async function parsePortSpecs(
  specs: readonly string[],
  defaultIp?: string,
): Promise<PortRequest[]> {
  const turns = new Turns()
  const requests: PortRequest[] = []
  for (const spec of specs) {
    for (const request of parseEach(spec, defaultIp)) {
      if (turns.isOver) await turns.next()
      if (requests.length === MAX_PORTS) {
        throw new PortSpecError(
          spec,
          `at most ${MAX_PORTS} ports fit into one request: divide them`,
        )
      }
      requests.push(request)
    }
  }
  return requests
}

/** @throws PortSpecError before the first request */
function* parseEach(spec: string, defaultIp?: string): Generator<PortRequest> {
  const fields = /^[a-z_]+=/.test(spec) ? longForm(spec) : shortForm(spec)
  const fail = (reason: string): never => {
    throw new PortSpecError(spec, reason)
  }

  const protocol = fields.protocol.toLowerCase()
  if (!isProtocol(protocol)) {
    return fail(`the protocol ${JSON.stringify(fields.protocol)} is not one of tcp, udp, sctp`)
  }
  const ip = parseHostIp(fields.hostIp, fail) ?? defaultIp
  const container = parseRange('container', fields.containerPort, fail)
  const host = fields.hostPort === '' ? undefined : parseRange('host', fields.hostPort, fail)
  // Host port 0 means "any free port", like an empty one.
  const hostPorts = host?.first === 0 && host.last === 0 ? undefined : host
  if (hostPorts?.first === 0) fail('a range of host ports starts at 1')
  if (container.first === 0) fail(`a container port is between 1 and ${MAX_PORT}`)

  const count = size(container)
  if (host && count > 1 && size(host) !== count) {
    fail(
      `${size(host)} host port${size(host) > 1 ? 's' : ''} for ${count} container ports: both ranges must have the same length`,
    )
  }
  for (let i = 0; i < count; i++) {
    yield {
      protocol,
      ip,
      hostPorts: hostPorts && count > 1 ? nth(hostPorts, i) : hostPorts,
      containerPort: container.first + i,
    }
  }
}

/** Formats a request in the short form. `parsePortSpec` parses the result into the same request. */
export function formatPortRequest(request: PortRequest): string {
  const { protocol, ip, hostPorts, containerPort } = request
  const prefix = ip === undefined ? '' : `${isIpv6(ip) ? `[${ip}]` : ip}:`
  const container = `${containerPort}/${protocol}`
  if (!hostPorts) return prefix === '' ? container : `${prefix}:${container}`
  const { first, last } = hostPorts
  return `${prefix}${first === last ? first : `${first}-${last}`}:${container}`
}

interface Fields {
  hostIp: string
  hostPort: string
  containerPort: string
  protocol: string
}

function shortForm(spec: string): Fields {
  const [ports = '', protocol = 'tcp', ...more] = spec.split('/')
  const parts = ports.split(':')
  const containerPort = parts.pop() ?? ''
  const hostPort = parts.pop() ?? ''
  if (more.length > 0 || containerPort === '') {
    throw new PortSpecError(spec, containerPort === '' ? `no container port: ${FORM}` : FORM)
  }
  // The rest is the address. If it is IPv6 without brackets, the last two fields are the ports.
  return { hostIp: parts.join(':'), hostPort, containerPort, protocol: protocol || 'tcp' }
}

const LONG_FORM_KEYS = new Map<string, keyof Fields>([
  ['target', 'containerPort'],
  ['published', 'hostPort'],
  ['protocol', 'protocol'],
  ['host_ip', 'hostIp'],
])

/** Keys of services and compose files that say nothing about one host, as `docker run` ignores them. */
const IGNORED_KEYS = ['mode', 'name', 'app_protocol']

function longForm(spec: string): Fields {
  const fields: Fields = { hostIp: '', hostPort: '', containerPort: '', protocol: 'tcp' }
  for (const pair of spec.split(',')) {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair) ?? []
    if (IGNORED_KEYS.includes(key)) continue
    const field = LONG_FORM_KEYS.get(key)
    if (!field || (value === '' && field !== 'hostPort')) {
      throw new PortSpecError(
        spec,
        `${JSON.stringify(pair)} is not one of target=PORT, published=PORT, protocol=tcp|udp|sctp, host_ip=IP`,
      )
    }
    fields[field] = value
  }
  if (fields.containerPort === '') {
    throw new PortSpecError(spec, 'target=PORT, the container port, is missing')
  }
  return fields
}

function parseHostIp(text: string, fail: (reason: string) => never): string | undefined {
  if (text === '') return undefined
  const bare = /^\[(.*)\]$/s.exec(text)?.[1] ?? text
  return parseIp(bare) ?? fail(`the host address ${JSON.stringify(bare)} is not an IP address`)
}

function parseRange(side: string, text: string, fail: (reason: string) => never): PortRange {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? []
  if (first === undefined || last === undefined) {
    return fail(`the ${side} port ${JSON.stringify(text)} is neither a number nor a range: ${FORM}`)
  }
  const range = { first: Number(first), last: Number(last) }
  const wrong = [first, last].find((port) => Number(port) > MAX_PORT)
  if (wrong !== undefined) fail(`the ${side} port ${wrong} is not between 1 and ${MAX_PORT}`)
  if (range.first > range.last) fail(`the range of ${side} ports ${text} ends before it starts`)
  return range
}

function size({ first, last }: PortRange): number {
  return last - first + 1
}

function nth({ first }: PortRange, i: number): PortRange {
  return { first: first + i, last: first + i }
}
