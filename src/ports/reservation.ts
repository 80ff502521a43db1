import { errnoCode, errnoReason } from '../linux/errno.js'
import type { Turns } from '../turns.js'
import type { Holder } from './holder.js'
import type { HostPort } from './host-port.js'
import { PortChoice } from './port-choice.js'
import { bindFailedMessage, Refusal } from './refusal.js'
import type { RequestGroup } from './request-groups.js'

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
export class PortTakenError extends Error {
  constructor(
    readonly port: HostPort,
    /** Our own publication that has it; undefined if the kernel refused it. */
    readonly heldBy: Holder | undefined,
  ) {
    super('taken')
  }
}

/** No port of a group is free on all its addresses. It becomes a Refusal. */
export class NoneFreeError extends Error {
  constructor(
    readonly group: RequestGroup,
    readonly taken: PortTakenError | undefined,
  ) {
    super('none is free')
  }
}

/** Takes one port for a group. Rejects with PortTakenError if it is taken, or with the error of the system call. */
export type Reserve<Reserved> = (port: HostPort, group: RequestGroup) => Promise<Reserved>

/** How ports are reserved. */
interface Reserving<Reserved> {
  readonly reserve: Reserve<Reserved>
  readonly undo: (reserved: Reserved) => Promise<void>
  readonly turns: Turns
  /** The port that the last request for any port got. */
  readonly last: number
}

/**
 * Reserves a port for each group on all its addresses, or reserves nothing.
 * @returns what was reserved, in the order of the addresses' positions
 * Rejects with Refusal, or with NoneFreeError.
 */
export async function reserveGroups<Reserved>(
  groups: readonly RequestGroup[],
  { reserve, undo, turns, last }: Reserving<Reserved>,
): Promise<Reserved[]> {
  const choice = new PortChoice(last)
  /** By position. Groups come in another order, so there are gaps until the end. */
  const reserved: Reserved[] = []

  const undoGroup = async ({ addresses }: RequestGroup): Promise<void> => {
    for (const { position } of addresses) {
      const port = reserved[position]
      if (port !== undefined) await undo(port)
      Reflect.deleteProperty(reserved, position)
    }
  }

  /** Reserves one port on each address of a group, in their order, or on none. */
  const reserveOnAllAddresses = async (group: RequestGroup, port: number): Promise<void> => {
    for (const { ip, position } of group.addresses) {
      const hostPort = { protocol: group.protocol, ip, port }
      try {
        reserved[position] = await reserve(hostPort, group)
      } catch (err) {
        await undoGroup(group)
        if (err instanceof PortTakenError) throw err
        const hint = HINTS[errnoCode(err) ?? '']
        const message = bindFailedMessage(hostPort, errnoReason(err))
        throw new Refusal('bind-failed', hint === undefined ? message : `${message}\n${hint}`)
      }
    }
  }

  /** Reserves the first port that is free on all addresses of a group. */
  const reserveFirstFree = async (group: RequestGroup): Promise<void> => {
    let taken: PortTakenError | undefined
    for (const port of choice.candidates(group)) {
      if (turns.isOver) await turns.next()
      try {
        await reserveOnAllAddresses(group, port)
        choice.took(group, port)
        return
      } catch (err) {
        if (!(err instanceof PortTakenError)) throw err
        taken ??= err
      }
    }
    throw new NoneFreeError(group, taken)
  }

  try {
    for (const group of groups) await reserveFirstFree(group)
    return reserved
  } catch (err) {
    for (const group of groups) {
      await undoGroup(group)
      if (turns.isOver) await turns.next()
    }
    throw err
  }
}
