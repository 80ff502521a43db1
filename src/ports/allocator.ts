import { closeSync } from 'node:fs'
import { errnoCode, errnoReason } from '../linux/errno.js'
import { reservedPorts } from '../linux/proc/ephemeral-ports.js'
import { canBind, hasIpv6, isPortFree, openPortSocket } from '../linux/sockets/port-socket.js'
import { Turns } from '../turns.js'
import type { Claim, Claims } from './claims/claims.js'
import { PortIndex } from './claims/port-index.js'
import { findHolder, type Holder } from './holder.js'
import { joinHostPort, MAX_PORT, type HostPort, type Protocol } from './host-port.js'
import { PortChoice } from './port-choice.js'
import { formatPortRequest, type PortRequest } from './port-spec.js'
import {
  allocatedMessage,
  bindFailedMessage,
  EXHAUSTED_MESSAGE,
  Refusal,
  type RefusalDetails,
} from './refusal.js'
import { groupRequests, isExact, type RequestGroup } from './request-groups.js'
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
  EMFILE: 'The limit of open files is reached: raise it, for example with ulimit -n 1048576',
  EACCES:
    'Ports below net.ipv4.ip_unprivileged_port_start, by default 1024, need root: choose a higher port, or lower it with sysctl',
  EPROTONOSUPPORT:
    'This kernel does not have the protocol: load its module, for example with modprobe sctp',
  EADDRNOTAVAIL:
    'No interface of this host has the address: "ip address" lists the addresses of the host',
}

/** A port that is taken on one of the requested addresses. It becomes a Refusal if no other port works. */
class PortTakenError extends Error {
  constructor(
    readonly port: HostPort,
    /** Our own publication that has it; undefined if the kernel refused it. */
    readonly heldBy: Holder | undefined,
  ) {
    super('taken')
  }
}

/** Describes the publication that will hold a port, for later requests. */
type HolderOf = (port: HostPort, containerPort: number) => Holder

/** Takes one port. Rejects with PortTakenError if it is taken, or with the error of the system call. */
type Reserve<Reserved> = (port: HostPort, request: PortRequest) => Promise<Reserved>

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
    return this.#reserveAll(requests, look, () => Promise.resolve())
  }

  async #reserveAll<Reserved>(
    requests: readonly PortRequest[],
    reserve: Reserve<Reserved>,
    undo: (reserved: Reserved) => Promise<void>,
  ): Promise<Reserved[]> {
    const turns = new Turns()
    const reserved = new Map<PortRequest, Reserved[]>()
    const choice = new PortChoice(this.#last)
    const groups = await groupRequests(requests, allAddresses(), turns)
    try {
      for (const group of groups) {
        const ports = await this.#reserveFirstFree(group, choice, turns, reserve, undo)
        for (const [i, { request }] of group.addresses.entries()) {
          const own = reserved.get(request)
          const port = ports[i] as Reserved
          if (own) own.push(port)
          else reserved.set(request, [port])
        }
      }
    } catch (err) {
      for (const ports of reserved.values()) {
        await Promise.all(ports.map(undo))
        if (turns.isOver) await turns.next()
      }
      throw err instanceof NoneFreeError ? await this.#refusal(err, requests) : err
    }
    const inOrder: Reserved[] = []
    for (const request of requests) {
      for (const port of reserved.get(request) ?? []) inOrder.push(port)
      if (turns.isOver) await turns.next()
    }
    return inOrder
  }

  /**
   * Reserves the first port of a group that is free on all its addresses, in the order of the addresses.
   * Rejects with NoneFreeError.
   */
  async #reserveFirstFree<Reserved>(
    group: RequestGroup,
    choice: PortChoice,
    turns: Turns,
    reserve: Reserve<Reserved>,
    undo: (reserved: Reserved) => Promise<void>,
  ): Promise<Reserved[]> {
    let taken: PortTakenError | undefined
    for (const port of choice.candidates(group)) {
      if (turns.isOver) await turns.next()
      try {
        const reserved = await reserveOnAllAddresses(group, port, reserve, undo)
        choice.took(group, port)
        return reserved
      } catch (err) {
        if (!(err instanceof PortTakenError)) throw err
        taken ??= err
      }
    }
    throw new NoneFreeError(group, taken)
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

/** No port of a group is free on all its addresses. It becomes a Refusal. */
class NoneFreeError extends Error {
  constructor(
    readonly group: RequestGroup,
    readonly taken: PortTakenError | undefined,
  ) {
    super('none is free')
  }
}

/** Reserves one port on each address of a group, in their order, or on none. */
async function reserveOnAllAddresses<Reserved>(
  { protocol, addresses }: RequestGroup,
  port: number,
  reserve: Reserve<Reserved>,
  undo: (reserved: Reserved) => Promise<void>,
): Promise<Reserved[]> {
  const reserved: Reserved[] = []
  try {
    for (const { ip, request } of addresses) {
      const hostPort = { protocol, ip, port }
      try {
        reserved.push(await reserve(hostPort, request))
      } catch (err) {
        if (err instanceof PortTakenError) throw err
        const hint = HINTS[errnoCode(err) ?? '']
        const message = bindFailedMessage(hostPort, errnoReason(err))
        throw new Refusal('bind-failed', hint === undefined ? message : `${message}\n${hint}`)
      }
    }
    return reserved
  } catch (err) {
    await Promise.all(reserved.map(undo))
    throw err
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
function allAddresses(): string[] {
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
