import { isIP } from 'node:net'
import type { PortRange } from '../linux/free-ports.js'
import { parseIp } from '../proxy/go-values.js'
import { isProtocol, type Protocol } from '../proxy/published-port.js'

/*
 * The grammar of `-p`, as `docker run` and the docker services take it:
 * [[hostIP:][hostPort[-hostPortEnd]]:]containerPort[-containerPortEnd][/tcp|/udp|/sctp]
 */

/** One container port that is to be published. */
export interface PortRequest {
  readonly protocol: Protocol
  /** Where to listen; undefined stands for all addresses of both families. */
  readonly hostIp?: string
  /** One port of these; undefined stands for any that is free. */
  readonly hostPorts?: PortRange
  readonly containerPort: number
}

/** A `-p` that can't be read; the message quotes it, and says what was expected. */
export class PortSpecError extends Error {
  override readonly name = 'PortSpecError'
  readonly code = 'EBADPORT'

  constructor(spec: string, reason: string) {
    super(`invalid port ${JSON.stringify(spec)}: ${reason}`)
  }
}

const MAX_PORT = 65_535
const FORM =
  'expected [[hostIP:][hostPort[-hostPortEnd]]:]containerPort[-containerPortEnd][/tcp|/udp|/sctp], as 8080:80'

/**
 * Reads one `-p`: a request for each container port.
 * @throws PortSpecError
 */
export function parsePortSpec(spec: string): PortRequest[] {
  const fields = /^[a-z_]+=/.test(spec) ? longForm(spec) : shortForm(spec)
  const fail = (reason: string): never => {
    throw new PortSpecError(spec, reason)
  }

  const protocol = fields.protocol.toLowerCase()
  if (!isProtocol(protocol)) {
    return fail(`the protocol ${JSON.stringify(fields.protocol)} is none of tcp, udp, sctp`)
  }
  const hostIp = readHostIp(fields.hostIp, fail)
  const container = readRange('container', fields.containerPort, fail)
  const host = fields.hostPort === '' ? undefined : readRange('host', fields.hostPort, fail)
  // "Pick one", as an empty host port.
  const hostPorts = host?.first === 0 && host.last === 0 ? undefined : host
  if (hostPorts?.first === 0) fail('a range of host ports starts at 1')
  if (container.first === 0) fail('a container port is from 1 to 65535')

  const count = size(container)
  if (hostPorts && count > 1 && size(hostPorts) !== count) {
    fail(`${size(hostPorts)} host ports for ${count} container ports: give as many of both`)
  }
  return Array.from({ length: count }, (_, i) => ({
    protocol,
    ...(hostIp === undefined ? {} : { hostIp }),
    ...(hostPorts === undefined ? {} : { hostPorts: count > 1 ? nth(hostPorts, i) : hostPorts }),
    containerPort: container.first + i,
  }))
}

/** The request in the short form: what `parsePortSpec` reads as this one request again. */
export function formatPortRequest(request: PortRequest): string {
  const { protocol, hostIp, hostPorts, containerPort } = request
  const ip = hostIp === undefined ? '' : `${isIP(hostIp) === 6 ? `[${hostIp}]` : hostIp}:`
  const container = `${containerPort}/${protocol}`
  if (!hostPorts) return ip === '' ? container : `${ip}:${container}`
  const { first, last } = hostPorts
  return `${ip}${first === last ? first : `${first}-${last}`}:${container}`
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
  if (more.length > 0 || protocol === '' || containerPort === '') {
    throw new PortSpecError(spec, containerPort === '' ? `no container port: ${FORM}` : FORM)
  }
  // What is left is the address: with an IPv6 one without brackets the last two fields are the ports.
  return { hostIp: parts.join(':'), hostPort, containerPort, protocol }
}

function longForm(spec: string): Fields {
  const fields: Fields = { hostIp: '', hostPort: '', containerPort: '', protocol: 'tcp' }
  const keys = new Map<string, keyof Fields>([
    ['target', 'containerPort'],
    ['published', 'hostPort'],
    ['protocol', 'protocol'],
    ['host_ip', 'hostIp'],
  ])
  for (const pair of spec.split(',')) {
    const [, key = '', value = ''] = /^([^=]*)=?(.*)$/s.exec(pair) ?? []
    if (key === 'mode' && value === 'host') continue
    if (key === 'mode') {
      throw new PortSpecError(
        spec,
        `${JSON.stringify(pair)} takes a swarm: leave it out, or say mode=host`,
      )
    }
    const field = keys.get(key)
    if (!field || value === '') {
      throw new PortSpecError(
        spec,
        `${JSON.stringify(pair)} is not one of target=PORT, published=PORT, protocol=tcp|udp|sctp, host_ip=IP, mode=host`,
      )
    }
    fields[field] = value
  }
  if (fields.containerPort === '') {
    throw new PortSpecError(spec, 'target=PORT, the container port, is missing')
  }
  return fields
}

function readHostIp(text: string, fail: (reason: string) => never): string | undefined {
  const bare = /^\[(.*)\]$/s.exec(text)?.[1] ?? text
  if (text === '') return undefined
  try {
    if (bare === '') throw new Error()
    return parseIp(bare)
  } catch {
    return fail(`the host address ${JSON.stringify(bare)} is no IP address`)
  }
}

function readRange(side: string, text: string, fail: (reason: string) => never): PortRange {
  const [, first, last = first] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? []
  if (first === undefined || last === undefined) {
    return fail(`the ${side} port ${JSON.stringify(text)} is neither a number nor a range: ${FORM}`)
  }
  const range = { first: Number(first), last: Number(last) }
  const wrong = [first, last].find((port) => Number(port) > MAX_PORT)
  if (wrong !== undefined) fail(`the ${side} port ${wrong} is not from 1 to ${MAX_PORT}`)
  if (range.first > range.last) fail(`the range of ${side} ports ${text} ends before it starts`)
  return range
}

function size({ first, last }: PortRange): number {
  return last - first + 1
}

function nth({ first }: PortRange, i: number): PortRange {
  return { first: first + i, last: first + i }
}
