import { Allocator } from './allocator.js'
import { MemoryClaims } from './claims/memory-claims.js'
import type { Holder } from './holder.js'
import { joinHostPort, type HostPort } from './host-port.js'
import { parsePortSpecs } from './port-spec.js'

/** Stands for the name of a publication that has none yet. */
export const UNNAMED = 'of the same request'

/**
 * Finds the ports that publishing would bind now. Nothing stays bound.
 *
 * @param specs as `-p` accepts them
 * @param allocator of a controller, whose ports count as taken; by default only the kernel decides
 * @param defaultIp the host IP of specs without one; undefined for all addresses
 * Rejects with PortSpecError, or with the Refusal that publishing would meet.
 */
export async function checkPorts(
  specs: readonly string[],
  allocator = new Allocator(new MemoryClaims()),
  defaultIp?: string,
): Promise<HostPort[]> {
  const since = new Date().toISOString()
  // Two of the specs may exclude each other.
  const holderOf = ({ ip, port }: HostPort): Holder => ({
    ...{ kind: 'publication', name: UNNAMED, backend: '', since },
    address: joinHostPort(ip, port),
  })
  return allocator.check(await parsePortSpecs(specs, defaultIp), holderOf)
}
