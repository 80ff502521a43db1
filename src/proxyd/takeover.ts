import { errnoReason } from '../linux/errno.js'
import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import { errnoCode } from '../linux/errno.js'
import { requireCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import type { FileId } from '../linux/proc/descriptors.js'
import { sendRequest } from '../status/status-socket.js'
import type { LauncherSocket } from './launched-ports.js'

/*
 * How a docker-proxyd replaces another one without a connection that is refused, lost or left waiting:
 *
 *     new ──`replace`──▶ old    the old one ignores the control pipe from now on, and continues to accept
 *     new ◀──its lock and listening sockets, by number── old
 *     new: copies them, and accepts as well; launchers find the new one
 *     new ──`done`──▶ old       the old one stops listening, closes the connection, and ends with its last client
 *
 * If the new one ends before it is done, the old one keeps everything.
 */

export const REPLACE_REQUEST = 'replace'
export const DONE_REQUEST = 'done'

/** The message of the old process about everything that it hands over. Descriptors have the numbers of the old process. */
export interface Handover {
  readonly pid: number
  /** The lock of the run folder. */
  readonly lock: number
  /** The control pipe that its launchers have open. */
  readonly control: FileId
  readonly ports: readonly LauncherSocket[]
}

/** The ports, lock and pipe of the old process, with descriptors of this process. */
export interface Takeover {
  readonly pid: number
  readonly lock: number
  readonly control: FileId
  /** Listening sockets by launcher, as our own descriptors. `done` closes those that are still in the map. */
  readonly sockets: Map<number, number>
  /** Ends the takeover. Resolves when the old process has stopped listening, or has ended. */
  done(): Promise<void>
}

/**
 * Asks the docker-proxyd of a run folder for its ports.
 * @param path of its status socket
 * @returns undefined if no docker-proxyd runs there
 * Rejects with a sentence for the user.
 */
export async function takeOver(path: string): Promise<Takeover | undefined> {
  let connection: Socket
  let handover: Partial<Handover> & { error?: string }
  try {
    const reply = await sendRequest(path, REPLACE_REQUEST)
    connection = reply.connection
    handover = reply.value as typeof handover
  } catch {
    return undefined
  }
  const { pid, lock, control, ports } = handover
  if (pid === undefined || lock === undefined || !control || !ports) {
    connection.destroy()
    throw new Error(
      `the docker-proxyd that runs can't be replaced: ${handover.error ?? 'its version has no takeover: restart it'}`,
    )
  }
  const sockets = new Map<number, number>()
  try {
    const ownLock = copySockets({ pid, lock, control, ports }, sockets)
    return { pid, lock: ownLock, control, sockets, done: () => finish(connection, sockets) }
  } catch (err) {
    connection.destroy()
    closeAll(sockets)
    throw new Error(`can't copy the sockets of docker-proxyd ${pid}: ${errnoReason(err)}`, {
      cause: err,
    })
  }
}

/**
 * @param sockets receives our copies
 * @returns our copy of the lock
 * @throws SystemError
 */
function copySockets({ pid, lock, ports }: Handover, sockets: Map<number, number>): number {
  const syscalls = requireCheckedSyscalls()
  const pidfd = syscalls.openPidFd(pid)
  try {
    const ownLock = syscalls.copyDescriptor(pidfd, lock)
    for (const { launcher, fd } of ports) {
      try {
        sockets.set(launcher, syscalls.copyDescriptor(pidfd, fd))
      } catch (err) {
        // Closed meanwhile, because its launcher has ended.
        if (errnoCode(err) !== 'EBADF') throw err
      }
    }
    return ownLock
  } finally {
    closeSync(pidfd)
  }
}

async function finish(connection: Socket, sockets: Map<number, number>): Promise<void> {
  closeAll(sockets)
  sockets.clear()
  if (connection.destroyed) return
  const closed = new Promise((resolve) => connection.once('close', resolve))
  connection.resume().end(`${DONE_REQUEST}\n`)
  await closed
}

function closeAll(sockets: ReadonlyMap<number, number>): void {
  for (const fd of sockets.values()) closeSync(fd)
}
