import { joinHostPort } from '../proxy/published-port.js'
import { Allocator } from './allocator.js'
import type { Claim } from './claim.js'
import { parsePortSpec } from './port-spec.js'
import { PortTable } from './port-table.js'

/**
 * What publishing these ports would bind now; nothing stays bound.
 *
 * @param specs as `-p` takes them
 * @param allocator the one of a controller, whose ports count as taken; left out, the kernel's word alone does
 * @throws PortSpecError, or the Refusal that publishing would meet
 */
export function checkPorts(
  specs: readonly string[],
  allocator = new Allocator(new PortTable()),
): Claim[] {
  const since = new Date().toISOString()
  return allocator.check(specs.flatMap(parsePortSpec), ({ ip, port }) => ({
    // Two of the specs may exclude each other.
    kind: 'publication',
    name: 'of this very request',
    address: joinHostPort(ip, port),
    backend: '',
    since,
  }))
}
