import type { Containers } from '../docker/containers.js'
import { resolveTarget } from '../docker/target-backends.js'
import type { BoundPort } from '../ports/allocator.js'
import { loopMessage } from '../proxy/loop.js'
import type { Nat } from './nat.js'
import type { PublicationDescription } from './publication.js'
import type { RequestedBackend } from './requested-backend.js'
import { refuseNat } from './refuse-nat.js'
import { RequestError } from './request-error.js'
import { whyNotTranslated, whyRepliesAreLost } from './translated-ports.js'

/*
 * Requests that can't be fulfilled, whatever ports are free.
 */

/** Rejects with Refusal if this host can't translate ports for a container. */
export async function refuseUnavailableNat(
  nat: Nat,
  { follows }: RequestedBackend,
  containers: Containers | undefined,
): Promise<void> {
  refuseNat(await nat.whyUnavailable())
  if (follows && containers)
    refuseNat(whyRepliesAreLost(resolveTarget(follows, containers), containers))
}

/** @throws RequestError or Refusal if ports that are bound can't lead to the backends */
export function refuseUnreachable(
  bound: readonly BoundPort[],
  { backends, via }: PublicationDescription,
): void {
  const ips = backends.map(({ ip }) => ip)
  for (const ip of ips) refuseLoops(bound, ip)
  if (via === 'nat') refuseNat(whyNotTranslated(bound, ips))
}

/** A docker-proxy that is not ours does not refuse it. @throws RequestError for a port that would forward to itself */
function refuseLoops(bound: readonly BoundPort[], backend: string): void {
  for (const { protocol, ip, port, containerPort } of bound) {
    const message = loopMessage(protocol, { ip, port }, { ip: backend, port: containerPort })
    if (message !== undefined) throw new RequestError(message)
  }
}
