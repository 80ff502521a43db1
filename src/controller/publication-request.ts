import { isLinkLocal, isMulticast, isWildcard, parseIp } from '../linux/sockets/ip-address.js'
import { isBroadcast } from '../linux/sockets/own-addresses.js'
import type { Protocol } from '../ports/host-port.js'
import {
  parsePortOptions,
  PortOptionError,
  type PortOptions,
  type PortOptionTexts,
} from '../proxy/port-options.js'
import { readSettings } from '../proxy/settings.js'
import type { ProxyProgram } from '../supervisor/proxy-program.js'
import type { WhenStopped } from './following.js'
import type { IsolationChoice } from './isolation.js'
import { RequestError } from './request-error.js'
import type { Via } from './via.js'

export { OPTION_NAMES } from '../proxy/port-options.js'

/** A request to publish ports of a container. */
export interface PublicationRequest {
  /** Without a name, the publication is named after its first port. */
  readonly name?: string
  /** The container's IP address, unless `container` names it. If it belongs to a container, the publication follows the container. */
  readonly backend?: string
  /** Name or id of a container, or a compose service as `PROJECT/SERVICE`. */
  readonly container?: string
  /** The engine that the client means, as DOCKER_HOST names it; by default the daemon's. */
  readonly engine?: string
  /** Whether the publication keeps the address `backend`, whoever has it. */
  readonly addressOnly?: boolean
  /** Name of the network in which the container is reached; by default the first one that this host reaches. */
  readonly network?: string
  /** By default `refuse`. */
  readonly whenStopped?: WhenStopped
  /** Whether the publication outlives its container, and takes up the next one of its name. */
  readonly keep?: boolean
  /** As `docker run -p` accepts them. */
  readonly ports: string[]
  /** By default `proxy`. */
  readonly via?: Via
  /** `auto`, the default, shares one process among many ports. */
  readonly isolation?: IsolationChoice
  /** Options of each port, by name. */
  readonly options?: PortOptionTexts
}

/**
 * Checks the options of ports.
 * @throws RequestError if one is invalid, or can't be followed
 */
export function checkOptions(
  { options = {}, via }: Pick<PublicationRequest, 'options' | 'via'>,
  protocols: readonly Protocol[],
  program: ProxyProgram,
): PortOptionTexts {
  if (via === 'nat') refuseLimitsOfAllPorts()
  const [first] = Object.keys(options)
  if (first === undefined) return options
  if (!program.isOurs) {
    throw new RequestError(
      `Docker's own docker-proxy has no option ${first}: start the daemon without --proxy-path`,
    )
  }
  if (via === 'nat') {
    throw new RequestError(
      `the option ${first} is for a proxy, and with via nat the kernel forwards: leave one of them out`,
    )
  }
  const { sendProxy } = parseOptions(options)
  if (sendProxy === 'v1' && protocols.includes('udp')) {
    throw new RequestError(
      'the option send-proxy v1 is for TCP: use v2 for UDP, or publish the UDP port by itself',
    )
  }
  const tcpOption = TCP_ONLY.find((name) => name in options)
  const isSctp = protocols.includes('sctp')
  if (tcpOption !== undefined && isSctp) {
    throw new RequestError(
      `the option ${tcpOption} is not for SCTP: publish the SCTP port by itself, without the option`,
    )
  }
  const notForUdp = Object.entries(NOT_FOR_UDP).find(([name]) => name in options)
  if (notForUdp && protocols.includes('udp')) {
    const [name, reason] = notForUdp
    throw new RequestError(
      `the option ${name} is not for UDP, ${reason}: publish the UDP port by itself, without the option`,
    )
  }
  return options
}

/** Options without effect on SCTP. */
const TCP_ONLY = [
  'send-proxy',
  'accept-proxy',
  'accept-proxy-timeout',
  'tcp-user-timeout',
  'half-closed-timeout',
]
/** Options without effect on UDP, and why. */
const NOT_FOR_UDP: Readonly<Record<string, string>> = {
  'when-full': 'where a new flow ends the oldest one',
  'half-closed-timeout': 'where no side ends a flow',
  'tcp-user-timeout': 'where nothing is acknowledged',
  'accept-proxy': 'where no balancer is known to send a header',
  'accept-proxy-timeout': 'where no balancer is known to send a header',
}

/** The kernel does not follow options that proxies have from the environment and the settings file. @throws RequestError */
function refuseLimitsOfAllPorts(): void {
  const { port } = readSettings(process.env)
  const { allow, deny, sendProxy, acceptProxy } = port
  const limits = [port.maxConnections, port.maxConnectionRate]
  const bandwidths = [port.maxBandwidthIn, port.maxBandwidthOut]
  const isLimited =
    allow.length + deny.length + acceptProxy.length > 0 ||
    port.maxConnectionsPerNetwork !== undefined ||
    Math.min(...limits, ...bandwidths) < Infinity
  if (!isLimited && sendProxy === undefined) return
  throw new RequestError(
    'all ports of this daemon have limits or send-proxy, by its environment or the settings file, and with via nat the kernel forwards: leave one of them out',
  )
}

/** @throws RequestError if publications of an earlier daemon have options that the program does not have */
export function refuseForeignOptions(
  saved: readonly { readonly name: string; readonly options?: PortOptionTexts }[],
  program: ProxyProgram,
): void {
  if (program.isOurs) return
  for (const { name, options = {} } of saved) {
    const [option] = Object.keys(options)
    if (option === undefined) continue
    throw new RequestError(
      `the publication ${name} has the option ${option}, which Docker's own docker-proxy does not have: start the daemon without --proxy-path`,
    )
  }
}

/** @throws RequestError */
function parseOptions(options: PortOptionTexts): PortOptions {
  try {
    return parsePortOptions(options, (name) => name)
  } catch (err) {
    throw err instanceof PortOptionError ? new RequestError(err.message) : err
  }
}

/** See RFC 919. */
const BROADCAST = '255.255.255.255'
/** Docker's rule for container names. */
const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,127}$/

/** @throws RequestError */
export function parseBackend(text: string): string {
  const ip = parseIp(text)
  const reason = ip === undefined ? '' : whyNoBackend(ip)
  if (ip !== undefined && reason === undefined) return ip
  throw new RequestError(
    `invalid backend ${JSON.stringify(text)}: ${reason ? `${reason}; ` : ''}expected an IP address or the name of a container, without a port`,
  )
}

/** Why no container can have an address; undefined if one can. */
function whyNoBackend(ip: string): string | undefined {
  if (isWildcard(ip)) return 'it stands for all addresses of a host'
  if (isMulticast(ip)) return 'it is a multicast address'
  if (ip === BROADCAST || isBroadcast(ip)) return 'it is a broadcast address'
  if (isLinkLocal(ip)) return 'a link-local address needs an interface'
  return undefined
}

/** @returns an empty text for a publication without a name @throws RequestError */
export function parseName(name: string | undefined): string {
  if (name === undefined) return ''
  if (NAME.test(name)) return name
  throw new RequestError(
    `invalid name ${JSON.stringify(name)}: expected a letter or digit, then letters, digits, "_", "." or "-", at most 128 in all`,
  )
}
