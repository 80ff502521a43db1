import { addressesOverlap } from '../linux/sockets/ip-address.js'
import type { PortRange } from '../linux/proc/ephemeral-ports.js'
import type { Turns } from '../turns.js'
import { MAX_PORT, PROTOCOLS } from './host-port.js'
import type { PortRequest } from './port-spec.js'

/** Requests that differ only in their addresses. They get the same host port, as in dockerd. */
export interface RequestGroup extends Pick<PortRequest, 'protocol' | 'containerPort'> {
  /** The host ports to choose from; undefined for any. */
  readonly hostPorts: PortRange | undefined
  /** The addresses, and the request that each one comes from. */
  readonly addresses: { readonly ip: string; readonly request: PortRequest }[]
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
  const groups = new Map<number, RequestGroup[]>()
  for (const request of requests) {
    if (turns.isOver) await turns.next()
    const { protocol, hostPorts, containerPort } = request
    const key = keyOf(request)
    let similar = groups.get(key)
    if (!similar) groups.set(key, (similar = []))
    if (isExact(request) && similar.some((group) => hasAddress(group, request))) continue
    const ips = request.ip === undefined ? allAddresses : [request.ip]
    const addresses = ips.map((ip) => ({ ip, request }))
    const group = isExact(request) ? undefined : similar.find((each) => fits(each, ips))
    if (group) group.addresses.push(...addresses)
    else similar.push({ protocol, hostPorts, containerPort, addresses })
  }
  // Most groups of a wide range are exact, and need no sorting.
  const exact: RequestGroup[] = []
  const ranges: RequestGroup[] = []
  for (const similar of groups.values()) {
    if (turns.isOver) await turns.next()
    for (const group of similar) (isExact(group) ? exact : ranges).push(group)
  }
  return [...exact, ...ranges.sort((a, b) => freedom(a) - freedom(b))]
}

/** Numbers of ports, and 0. */
const PORTS = MAX_PORT + 1

/** The common part of a group's requests, as one number. A string for each of thousands of requests takes longer. */
function keyOf({ protocol, hostPorts, containerPort }: PortRequest): number {
  const { first = 0, last = 0 } = hostPorts ?? {}
  return ((PROTOCOLS.indexOf(protocol) * PORTS + first) * PORTS + last) * PORTS + containerPort
}

/** Whether a request names one host port. */
export function isExact({ hostPorts }: { readonly hostPorts?: PortRange | undefined }): boolean {
  return hostPorts !== undefined && hostPorts.first === hostPorts.last
}

function freedom({ hostPorts }: RequestGroup): number {
  return hostPorts ? hostPorts.last - hostPorts.first : Number.MAX_SAFE_INTEGER
}

function hasAddress({ addresses }: RequestGroup, { ip }: PortRequest): boolean {
  return addresses.some(({ request }) => request.ip === ip)
}

/** Whether none of the addresses excludes one of the group. */
function fits({ addresses }: RequestGroup, ips: readonly string[]): boolean {
  return !addresses.some(({ ip }) => ips.some((each) => addressesOverlap(ip, each)))
}
