import { addressesOverlap } from '../linux/sockets/ip-address.js'
import type { PortRange } from '../linux/proc/ephemeral-ports.js'
import type { Turns } from '../turns.js'
import type { Protocol } from './host-port.js'
import type { PortRequest } from './port-spec.js'

/** Requests that differ only in their addresses. They get the same host port, as in dockerd. */
export interface RequestGroup extends Pick<
  PortRequest,
  'protocol' | 'hostPorts' | 'containerPort'
> {
  readonly addresses: RequestedAddress[]
}

/** An address on which a request wants its port. */
interface RequestedAddress {
  readonly ip: string
  readonly request: PortRequest
  /** Counts the addresses of all requests, from 0, in their order. */
  readonly position: number
}

/**
 * Groups requests. The same exact port for the same container port counts once. Equal requests with a choice get different ports, so each
 * has a group of its own.
 * @param allAddresses the addresses of a request without one
 * @param turns of the caller
 * @returns exact ports before ranges, and ranges before any port: requests without a choice go first
 */
export async function groupRequests(
  requests: readonly PortRequest[],
  allAddresses: readonly string[],
  turns: Turns,
): Promise<RequestGroup[]> {
  const exact = new ExactRequests()
  const similarTo = new Map<string, RequestGroup[]>()
  let position = 0
  // A wide range makes thousands of exact groups, which need no sorting.
  const exactGroups: RequestGroup[] = []
  const choices: RequestGroup[] = []
  for (const request of requests) {
    if (turns.isOver) await turns.next()
    if (isExact(request) && !exact.add(request)) continue
    const ips = request.ip === undefined ? allAddresses : [request.ip]
    const addresses = ips.map((ip) => ({ ip, request, position: position++ }))
    const { protocol, hostPorts, containerPort } = request
    const group = { protocol, hostPorts, containerPort, addresses }
    if (isExact(request)) {
      exactGroups.push(group)
      continue
    }
    const key = `${hostPorts?.first}-${hostPorts?.last}:${containerPort}/${protocol}`
    const similar = similarTo.get(key) ?? []
    const joined = similar.find((each) => fits(each, ips))
    if (joined) joined.addresses.push(...addresses)
    else {
      similarTo.set(key, similar)
      similar.push(group)
      choices.push(group)
    }
  }
  return [...exactGroups, ...choices.sort((a, b) => freedom(a) - freedom(b))]
}

/** Requests for one host port each. There may be thousands, so a request is remembered as a number that fits into 32 bits. */
class ExactRequests {
  readonly #byAddress = new Map<string | undefined, Record<Protocol, Set<number>>>()

  /** @returns false for a request that was added before */
  add({ ip, protocol, hostPorts, containerPort }: PortRequest): boolean {
    let ofAddress = this.#byAddress.get(ip)
    if (!ofAddress) {
      ofAddress = { tcp: new Set(), udp: new Set(), sctp: new Set() }
      this.#byAddress.set(ip, ofAddress)
    }
    const ports = ofAddress[protocol]
    const { size } = ports
    return ports.add(((hostPorts?.first ?? 0) << 16) | containerPort).size > size
  }
}

/** Whether a request names one host port. */
export function isExact({ hostPorts }: { readonly hostPorts?: PortRange | undefined }): boolean {
  return hostPorts !== undefined && hostPorts.first === hostPorts.last
}

function freedom({ hostPorts }: RequestGroup): number {
  return hostPorts ? hostPorts.last - hostPorts.first : Number.MAX_SAFE_INTEGER
}

/** Whether none of the addresses excludes one of the group. */
function fits({ addresses }: RequestGroup, ips: readonly string[]): boolean {
  return !addresses.some(({ ip }) => ips.some((each) => addressesOverlap(ip, each)))
}
