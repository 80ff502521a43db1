import { closeSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { ephemeralPorts, reservedPorts, type PortRange } from '../linux/free-ports.js'
import { hasIpv6, isPortFree, openPortSocket } from '../linux/port-socket.js'
import type { Claim } from './claim.js'
import { allocatedText, bindText, EXHAUSTED_TEXT, Refusal } from './conflict.js'
import { findHolder, type Holder } from './holder.js'
import { formatPortRequest, type PortRequest } from './port-spec.js'
import type { PortTable } from './port-table.js'
import { suggest } from './suggestions.js'

/** A port that is bound: the request's container port on one address. */
export interface BoundPort extends Claim {
  readonly containerPort: number
  /** The socket, bound and, but for UDP, listening. Whoever has the port closes it. */
  readonly fd: number
  /** Lets others of ours have the port; the socket is left alone. */
  readonly release: () => void
}

/** What to do where there is no descriptor left; the line before is dockerd's. */
const LIMIT_HINT =
  '\nThe daemon may not open more files: start it with a higher limit, as by ulimit -n 1048576'

/** What stands for a socket where a port is only asked about. */
const NO_FD = -1

/** A port that one address would not give; what a Refusal is made of, should it come to that. */
class PortTaken extends Error {
  constructor(
    readonly claim: Claim,
    /** The port on all the addresses that it was asked for. */
    readonly claims: readonly Claim[],
    /** Who of ours has it; undefined when it was the kernel that refused. */
    readonly owner: Holder | undefined,
  ) {
    super('taken')
  }
}

/** Who will hold a port, for those who come later. */
type HolderOf = (claim: Claim, containerPort: number) => Holder

/** Takes a port from the kernel: returns a descriptor, or throws EADDRINUSE. */
type Open = (claim: Claim) => number

/** Finds and binds the ports of a publication: binding is the check, so nobody can come between. */
export class Allocator {
  readonly #table: PortTable
  /** The port last given to somebody who asked for any. */
  #last = 0

  constructor(table: PortTable) {
    this.#table = table
  }

  /**
   * Binds all that is asked for, or nothing: exact ports first, then ranges, then any.
   *
   * @param holder who will hold the ports, for those who come later
   * @returns the bound ports in the order of the requests
   * @throws Refusal
   */
  allocate(requests: readonly PortRequest[], holder: HolderOf): BoundPort[] {
    return this.#allocate(requests, holder, ({ protocol, ip, port }) =>
      openPortSocket(protocol, ip, port),
    )
  }

  /**
   * What `allocate` would give now, with nothing bound that stays.
   * @throws Refusal as `allocate` would
   */
  check(requests: readonly PortRequest[], holder: HolderOf): Claim[] {
    const last = this.#last
    const ports = this.#allocate(requests, holder, ({ protocol, ip, port }) => {
      if (isPortFree(protocol, ip, port)) return NO_FD
      throw Object.assign(new Error('in use'), { code: 'EADDRINUSE' })
    })
    for (const port of ports) port.release()
    this.#last = last
    return ports.map(({ protocol, ip, port }) => ({ protocol, ip, port }))
  }

  #allocate(requests: readonly PortRequest[], holder: HolderOf, open: Open): BoundPort[] {
    const wanted = unique(requests)
    const bound = new Map<PortRequest, BoundPort[]>()
    try {
      for (const request of inOrder(wanted)) bound.set(request, this.#bind(request, holder, open))
    } catch (err) {
      for (const ports of bound.values()) ports.forEach(giveUp)
      throw err
    }
    return wanted.flatMap((request) => bound.get(request) ?? [])
  }

  /** The first of the request's ports that is free on all its addresses. */
  #bind(request: PortRequest, holder: HolderOf, open: Open): BoundPort[] {
    let taken: PortTaken | undefined
    for (const port of this.#candidates(request)) {
      try {
        return this.#bindPort(request, port, holder, open)
      } catch (err) {
        if (!(err instanceof PortTaken)) throw err
        taken ??= err
      }
    }
    throw this.#refusal(request, taken)
  }

  /** One port on each address that was asked for, or nothing. */
  #bindPort(request: PortRequest, port: number, holder: HolderOf, open: Open): BoundPort[] {
    const { protocol, hostIp, containerPort } = request
    const ips = hostIp === undefined ? allAddresses() : [hostIp]
    const claims = ips.map((ip): Claim => ({ protocol, ip, port }))
    const bound: BoundPort[] = []
    try {
      for (const claim of claims) {
        const owner = this.#table.holderOf(claim)
        if (owner) throw new PortTaken(claim, claims, owner)
        try {
          const fd = open(claim)
          const release = this.#table.hold(claim, holder(claim, containerPort))
          bound.push({ ...claim, containerPort, fd, release })
        } catch (err) {
          if (errnoCode(err) === 'EADDRINUSE') throw new PortTaken(claim, claims, undefined)
          const hint = errnoCode(err) === 'EMFILE' ? LIMIT_HINT : ''
          throw new Refusal('bind-failed', bindText(claim, errnoReason(err)) + hint)
        }
      }
      return bound
    } catch (err) {
      bound.forEach(giveUp)
      throw err
    }
  }

  #refusal(request: PortRequest, taken: PortTaken | undefined): Refusal {
    const details = taken ? this.#details(taken) : {}
    const { hostPorts } = request
    if (taken && isExact(request)) {
      return taken.owner
        ? new Refusal('port-allocated', allocatedText(taken.claim), details)
        : new Refusal('port-in-use', bindText(taken.claim, 'address already in use'), details)
    }
    const what = hostPorts ? `no port of ${formatPortRequest(request)} is free` : 'no port is free'
    return new Refusal('ports-exhausted', `${EXHAUSTED_TEXT}\n${what}`, details)
  }

  #details({ claim, claims, owner }: PortTaken): Refusal['details'] {
    const holder = owner ?? holderOrNobody(claim)
    const isFree = (each: Claim): boolean => !this.#table.holderOf(each) && isFreeNow(each)
    return { ...(holder ? { holder } : {}), suggestions: suggest(claims, claim, isFree) }
  }

  *#candidates({ hostPorts }: PortRequest): Generator<number> {
    if (hostPorts) {
      yield* count(hostPorts)
      return
    }
    const range = ephemeralPorts()
    const isReserved = reservedPorts()
    const goesOn = this.#last >= range.first && this.#last < range.last
    const start = goesOn ? this.#last + 1 : range.first
    for (const part of [
      { ...range, first: start },
      { ...range, last: start - 1 },
    ]) {
      for (const port of count(part)) {
        if (isReserved(port)) continue
        this.#last = port
        yield port
      }
    }
  }
}

function giveUp({ fd, release }: BoundPort): void {
  if (fd !== NO_FD) closeSync(fd)
  release()
}

function* count({ first, last }: PortRange): Generator<number> {
  for (let port = first; port <= last; port++) yield port
}

/** Exact ports before ranges, and these before any port: what can't give way goes first. */
function inOrder(requests: readonly PortRequest[]): PortRequest[] {
  const freedom = ({ hostPorts }: PortRequest): number =>
    hostPorts ? hostPorts.last - hostPorts.first : Number.MAX_SAFE_INTEGER
  return [...requests].sort((a, b) => freedom(a) - freedom(b))
}

/** The same exact port for the same container port, said twice, is said once, as docker takes it. */
function unique(requests: readonly PortRequest[]): PortRequest[] {
  const last = new Map(requests.map((request) => [formatPortRequest(request), request]))
  return requests.filter(
    (request) => !isExact(request) || last.get(formatPortRequest(request)) === request,
  )
}

function isExact({ hostPorts }: PortRequest): boolean {
  return hostPorts !== undefined && hostPorts.first === hostPorts.last
}

/** What a `-p` without an address stands for; a host without IPv6 publishes on IPv4 alone, and nobody is told. */
function allAddresses(): string[] {
  return hasIpv6() ? ['0.0.0.0', '::'] : ['0.0.0.0']
}

/** The answer is worth having, but not at the price of the refusal itself, as without a descriptor left. */
function holderOrNobody(claim: Claim): Holder | undefined {
  try {
    return findHolder(claim)
  } catch {
    return undefined
  }
}

function isFreeNow({ protocol, ip, port }: Claim): boolean {
  try {
    return isPortFree(protocol, ip, port)
  } catch {
    return false
  }
}
