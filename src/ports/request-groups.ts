import { addressesOverlap } from '../linux/sockets/ip-address.js'
import type { Turns } from '../turns.js'
import type { PortRequest } from './port-spec.js'

/** Requests that differ only in their addresses. They get the same host port, as in dockerd. */
export interface RequestGroup extends Pick<
  PortRequest,
  'protocol' | 'hostPorts' | 'containerPort'
> {
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
  const groups = new Map<string, RequestGroup[]>()
  for (const request of requests) {
    if (turns.isOver) await turns.next()
    const { protocol, hostPorts, containerPort } = request
    const key = `${hostPorts?.first ?? ''}-${hostPorts?.last ?? ''}:${containerPort}/${protocol}`
    const similar = groups.get(key) ?? []
    groups.set(key, similar)
    if (isExact(request) && similar.some((group) => hasAddress(group, request))) continue
    const ips = request.ip === undefined ? allAddresses : [request.ip]
    const addresses = ips.map((ip) => ({ ip, request }))
    const group = isExact(request) ? undefined : similar.find((each) => fits(each, ips))
    if (group) group.addresses.push(...addresses)
    else similar.push({ protocol, containerPort, ...(hostPorts ? { hostPorts } : {}), addresses })
  }
  // Most groups of a wide range are exact, and need no sorting.
  const all = [...groups.values()].flat()
  const ranges = all.filter((group) => !isExact(group))
  return [...all.filter(isExact), ...ranges.sort((a, b) => freedom(a) - freedom(b))]
}

/** Whether a request names one host port. */
export function isExact({ hostPorts }: Pick<PortRequest, 'hostPorts'>): boolean {
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
