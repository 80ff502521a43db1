import { closeSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { ephemeralPorts, reservedPorts, type PortRange } from '../linux/proc/ephemeral-ports.js'
import { hasIpv6, isPortFree, openPortSocket } from '../linux/sockets/port-socket.js'
import type { Claim, Claims } from './claims/claims.js'
import { MemoryClaims } from './claims/memory-claims.js'
import { findHolder, type Holder } from './holder.js'
import type { HostPort } from './host-port.js'
import { formatPortRequest, type PortRequest } from './port-spec.js'
import {
  allocatedMessage,
  bindFailedMessage,
  EXHAUSTED_MESSAGE,
  Refusal,
  type RefusalDetails,
} from './refusal.js'
import { suggest } from './suggestions.js'

/** A port that is bound: the container port of a request on one address. */
export interface BoundPort extends HostPort {
  readonly containerPort: number
  /** The bound socket. Unless it is UDP, it listens. The owner of the port closes it. */
  readonly socket: number
  /** Released by the owner of the port. */
  readonly claim: Claim
}

/** A second line below dockerd's message, by the code of the system's error: what to do. */
const HINTS: Readonly<Record<string, string>> = {
  EMFILE:
    'The daemon may not open more files: start it with a higher limit, for example after ulimit -n 1048576',
  EPROTONOSUPPORT:
    'This kernel does not have the protocol: load its module, for example with modprobe sctp',
  EADDRNOTAVAIL: 'This host does not have the address: ip address lists those that it has',
}

/** A port that is taken on one of the requested addresses. It becomes a Refusal if no other port works. */
class PortTakenError extends Error {
  constructor(
    readonly port: HostPort,
    /** The port on all requested addresses. */
    readonly requested: readonly HostPort[],
    /** Our own publication that has it; undefined if the kernel refused it. */
    readonly heldBy: Holder | undefined,
  ) {
    super('taken')
  }
}

/** Describes the publication that will hold a port, for later requests. */
type HolderOf = (port: HostPort, containerPort: number) => Holder

/** Takes one port. Rejects with PortTakenError if it is taken, or with the error of the system call. */
type Reserve<Reserved> = (
  port: HostPort,
  request: PortRequest,
  requested: readonly HostPort[],
) => Promise<Reserved>

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
    const bind: Reserve<BoundPort> = async (port, { containerPort, hostPorts }, requested) => {
      const { claim, heldBy } = await this.claims.claim(port, holderOf(port, containerPort))
      if (heldBy) throw new PortTakenError(port, requested, heldBy)
      try {
        const bound = { ...port, containerPort, socket: openPortSocket(port), claim }
        if (!hostPorts) this.#last = port.port
        return bound
      } catch (err) {
        claim.release()
        if (errnoCode(err) === 'EADDRINUSE') throw new PortTakenError(port, requested, undefined)
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
    const own = new MemoryClaims()
    const look: Reserve<HostPort> = async (port, { containerPort }, requested) => {
      const heldBy = (await this.claims.holderOf(port)) ?? (await own.holderOf(port))
      if (heldBy ?? !isPortFree(port)) throw new PortTakenError(port, requested, heldBy)
      await own.claim(port, holderOf(port, containerPort))
      return port
    }
    return this.#reserveAll(requests, look, () => undefined)
  }

  async #reserveAll<Reserved>(
    requests: readonly PortRequest[],
    reserve: Reserve<Reserved>,
    undo: (reserved: Reserved) => void,
  ): Promise<Reserved[]> {
    const distinct = withoutRepetitions(requests)
    const reserved = new Map<PortRequest, Reserved[]>()
    try {
      for (const request of leastFreedomFirst(distinct)) {
        reserved.set(request, await this.#reserveFirstFree(request, reserve, undo))
      }
    } catch (err) {
      for (const ports of reserved.values()) ports.forEach(undo)
      throw err
    }
    return distinct.flatMap((request) => reserved.get(request) ?? [])
  }

  /** Reserves the first of the request's ports that is free on all its addresses. */
  async #reserveFirstFree<Reserved>(
    request: PortRequest,
    reserve: Reserve<Reserved>,
    undo: (reserved: Reserved) => void,
  ): Promise<Reserved[]> {
    let taken: PortTakenError | undefined
    for (const port of this.#candidates(request)) {
      try {
        return await reserveOnAllAddresses(request, port, reserve, undo)
      } catch (err) {
        if (!(err instanceof PortTakenError)) throw err
        taken ??= err
      }
    }
    throw await this.#refusal(request, taken)
  }

  async #refusal(request: PortRequest, taken: PortTakenError | undefined): Promise<Refusal> {
    const details = taken ? await this.#details(taken) : {}
    if (taken && isExact(request)) {
      return taken.heldBy
        ? new Refusal('port-allocated', allocatedMessage(taken.port), details)
        : new Refusal(
            'port-in-use',
            bindFailedMessage(taken.port, 'address already in use'),
            details,
          )
    }
    const explanation = request.hostPorts
      ? `no port of ${formatPortRequest(request)} is free`
      : 'no port is free'
    return new Refusal('ports-exhausted', `${EXHAUSTED_MESSAGE}\n${explanation}`, details)
  }

  async #details({ port, requested, heldBy }: PortTakenError): Promise<RefusalDetails> {
    const holder = heldBy ?? findHolderIfPossible(port)
    const isFree = async (each: HostPort): Promise<boolean> =>
      !(await this.claims.holderOf(each)) && isFreeNow(each)
    const suggestions = await suggest(requested, port, isFree)
    return { ...(holder ? { holder } : {}), suggestions }
  }

  /** The ports to try, in order. Any port: round-robin through the kernel's range, after the port that was given last. */
  *#candidates({ hostPorts }: PortRequest): Generator<number> {
    if (hostPorts) {
      yield* count(hostPorts)
      return
    }
    const range = ephemeralPorts()
    const isReserved = reservedPorts()
    const continues = this.#last >= range.first && this.#last < range.last
    const start = continues ? this.#last + 1 : range.first
    for (const part of [
      { ...range, first: start },
      { ...range, last: start - 1 },
    ]) {
      for (const port of count(part)) if (!isReserved(port)) yield port
    }
  }
}

/** Reserves one port on each requested address, or on none. */
async function reserveOnAllAddresses<Reserved>(
  request: PortRequest,
  port: number,
  reserve: Reserve<Reserved>,
  undo: (reserved: Reserved) => void,
): Promise<Reserved[]> {
  const { protocol, ip } = request
  const ips = ip === undefined ? allAddresses() : [ip]
  const requested = ips.map((each): HostPort => ({ protocol, ip: each, port }))
  const reserved: Reserved[] = []
  try {
    for (const each of requested) {
      try {
        reserved.push(await reserve(each, request, requested))
      } catch (err) {
        if (err instanceof PortTakenError) throw err
        const hint = HINTS[errnoCode(err) ?? '']
        const message = bindFailedMessage(each, errnoReason(err))
        throw new Refusal('bind-failed', hint === undefined ? message : `${message}\n${hint}`)
      }
    }
    return reserved
  } catch (err) {
    reserved.forEach(undo)
    throw err
  }
}

/** Closes the socket of a port that is not going to be served, and releases its claim. */
export function releasePort({ socket, claim }: BoundPort): void {
  closeSync(socket)
  claim.release()
}

function* count({ first, last }: PortRange): Generator<number> {
  for (let port = first; port <= last; port++) yield port
}

/** Exact ports before ranges, and ranges before any port: requests without a choice go first. */
function leastFreedomFirst(requests: readonly PortRequest[]): PortRequest[] {
  const freedom = ({ hostPorts }: PortRequest): number =>
    hostPorts ? hostPorts.last - hostPorts.first : Number.MAX_SAFE_INTEGER
  return [...requests].sort((a, b) => freedom(a) - freedom(b))
}

/** The same exact port for the same container port counts once, as in docker. */
function withoutRepetitions(requests: readonly PortRequest[]): PortRequest[] {
  const last = new Map(requests.map((request) => [formatPortRequest(request), request]))
  return requests.filter(
    (request) => !isExact(request) || last.get(formatPortRequest(request)) === request,
  )
}

function isExact({ hostPorts }: PortRequest): boolean {
  return hostPorts !== undefined && hostPorts.first === hostPorts.last
}

/** The addresses of a `-p` without one. A host without IPv6 publishes on IPv4 only, silently. */
function allAddresses(): string[] {
  return hasIpv6() ? ['0.0.0.0', '::'] : ['0.0.0.0']
}

/** Failing to find the holder, for example without a free descriptor, must not replace the refusal itself. */
function findHolderIfPossible(port: HostPort): Holder | undefined {
  try {
    return findHolder(port)
  } catch {
    return undefined
  }
}

function isFreeNow(port: HostPort): boolean {
  try {
    return isPortFree(port)
  } catch {
    return false
  }
}
