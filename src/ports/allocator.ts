import { closeSync } from 'node:fs'
import { errnoCode } from '../linux/errno.js'
import { reservedPorts } from '../linux/proc/ephemeral-ports.js'
import { canBind, hasIpv6, isPortFree, openPortSocket } from '../linux/sockets/port-socket.js'
import { Turns } from '../turns.js'
import type { Claim, Claims } from './claims/claims.js'
import { PortIndex } from './claims/port-index.js'
import { findHolder, type Holder } from './holder.js'
import { joinHostPort, MAX_PORT, type HostPort, type Protocol } from './host-port.js'
import { formatPortRequest, type PortRequest } from './port-spec.js'
import {
  allocatedMessage,
  bindFailedMessage,
  EXHAUSTED_MESSAGE,
  Refusal,
  type RefusalDetails,
} from './refusal.js'
import { groupRequests, isExact, type RequestGroup } from './request-groups.js'
import { NoneFreeError, PortTakenError, reserveGroups, type Reserve } from './reservation.js'
import { suggest } from './suggestions.js'

/** A port that is bound: the container port of a request on one address. */
export interface BoundPort extends HostPort {
  readonly containerPort: number
  /** The bound socket. Unless it is UDP, it listens. The owner of the port closes it. */
  readonly socket: number
  /** Released by the owner of the port. */
  readonly claim: Claim
}

/** Describes the publication that will hold a port, for later requests. */
type HolderOf = (port: HostPort, containerPort: number) => Holder

/** Finds and binds the ports of a publication. Binding is the check, so no other process can come between. */
export class Allocator {
  /** The port that the last request for any port got. */
  #last = 0

  constructor(private readonly claims: Claims) {}

  /**
   * Binds all requested ports, or none: exact ports first, then ranges, then any ports.
   *
   * @param holderOf describes the publication
   * @returns the bound ports in the order of the requests
   * Rejects with Refusal.
   */
  async allocate(requests: readonly PortRequest[], holderOf: HolderOf): Promise<BoundPort[]> {
    const bind: Reserve<BoundPort> = async (port, { containerPort, hostPorts }) => {
      const { claim, heldBy } = await this.claims.claim(port, holderOf(port, containerPort))
      if (heldBy) throw new PortTakenError(port, heldBy)
      try {
        const bound = { ...port, containerPort, socket: openPortSocket(port), claim }
        if (!hostPorts) this.#last = port.port
        return bound
      } catch (err) {
        await claim.release()
        if (errnoCode(err) === 'EADDRINUSE') throw new PortTakenError(port, undefined)
        throw err
      }
    }
    return this.#reserveAll(requests, bind, releasePort)
  }

  /**
   * Finds the ports that `allocate` would bind now. Nothing is bound or claimed.
   * Rejects with Refusal as `allocate` would.
   */
  async check(requests: readonly PortRequest[], holderOf: HolderOf): Promise<HostPort[]> {
    // Two ports of the same request exclude each other as well.
    const own = new PortIndex<HostPort>()
    const look: Reserve<HostPort> = async (port, { containerPort }) => {
      const taken = own.find(port)
      const heldBy = taken ? holderOf(taken, containerPort) : await this.claims.holderOf(port)
      if (heldBy ?? !isPortFree(port)) throw new PortTakenError(port, heldBy)
      own.add(port)
      return port
    }
    return this.#reserveAll(requests, look, (port) => Promise.resolve(own.delete(port)))
  }

  async #reserveAll<Reserved>(
    requests: readonly PortRequest[],
    reserve: Reserve<Reserved>,
    undo: (reserved: Reserved) => Promise<void>,
  ): Promise<Reserved[]> {
    const turns = new Turns()
    const groups = await groupRequests(requests, allAddresses(), turns)
    try {
      return await reserveGroups(groups, { reserve, undo, turns, last: this.#last })
    } catch (err) {
      throw err instanceof NoneFreeError ? await this.#refusal(err, requests) : err
    }
  }

  async #refusal(
    { group, taken }: NoneFreeError,
    requests: readonly PortRequest[],
  ): Promise<Refusal> {
    const details = taken ? await this.#details(taken, group, requests) : {}
    if (taken && isExact(group)) {
      return taken.heldBy
        ? new Refusal('port-allocated', allocatedMessage(taken.port), details)
        : new Refusal(
            'port-in-use',
            bindFailedMessage(taken.port, 'address already in use'),
            details,
          )
    }
    const [address] = group.addresses
    const explanation =
      group.hostPorts && address
        ? `no port of ${formatPortRequest(address.request)} is free`
        : 'no port is free'
    return new Refusal('ports-exhausted', `${EXHAUSTED_MESSAGE}\n${explanation}`, details)
  }

  async #details(
    { port, heldBy }: PortTakenError,
    group: RequestGroup,
    requests: readonly PortRequest[],
  ): Promise<RefusalDetails> {
    const holder = heldBy ?? (await findHolderIfPossible(port))
    const isReserved = reservedPorts()
    const isNeeded = neededPorts(requests, port.protocol)
    const isFree = async (each: HostPort): Promise<boolean> =>
      !isReserved(each.port) &&
      (each.port === port.port || !isNeeded(each.port)) &&
      !(await this.claims.holderOf(each)) &&
      canBind(each)
    const { protocol, addresses } = group
    const requested = addresses.map(({ ip }): HostPort => ({ protocol, ip, port: port.port }))
    const suggestions = await suggest(requested, port, isFree)
    return { ...(holder ? { holder } : {}), suggestions }
  }
}

/** Closes the socket of a port that is not going to be served, and releases its claim. */
export async function releasePort({ socket, claim }: BoundPort): Promise<void> {
  closeSync(socket)
  await claim.release()
}

/** Tells which host ports the requests name: these must not be suggested. Ranges are marked by their ends, because there may be thousands. */
function neededPorts(
  requests: readonly PortRequest[],
  protocol: Protocol,
): (port: number) => boolean {
  const ends = new Int32Array(MAX_PORT + 2)
  for (const { protocol: own, hostPorts } of requests) {
    if (own !== protocol || !hostPorts) continue
    ends[hostPorts.first] = (ends[hostPorts.first] ?? 0) + 1
    ends[hostPorts.last + 1] = (ends[hostPorts.last + 1] ?? 0) - 1
  }
  let open = 0
  const needed = ends.map((change) => (open += change))
  return (port) => (needed[port] ?? 0) > 0
}

/** The addresses of a `-p` without one. A host without IPv6 publishes on IPv4 only, silently. */
export function allAddresses(): string[] {
  return hasIpv6() ? ['0.0.0.0', '::'] : ['0.0.0.0']
}

/** Failing to find the holder, for example without a free descriptor, must not replace the refusal itself. */
async function findHolderIfPossible(port: HostPort): Promise<Holder | undefined> {
  try {
    const holder = await findHolder(port)
    if (holder || canBind(port)) return holder
    return { kind: 'unlisted', address: joinHostPort(port.ip, port.port) }
  } catch {
    return undefined
  }
}
