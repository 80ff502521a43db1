import { closeSync } from 'node:fs'
import type { Socket } from 'node:net'
import type { FileId } from '../linux/descriptors.js'
import { errnoCode } from '../linux/errno.js'
import { requireLibc } from '../linux/libc.js'
import { ask } from './status-socket.js'

/*
 * How a docker-proxyd takes the place of another, with no connection refused, lost or left waiting:
 *
 *     new ──`replace`──▶ old    which from now on leaves the control pipe alone, and goes on to accept
 *     new ◀──its lock and listening sockets, by number── old
 *     new: takes copies of them, and accepts as well; launchers find it
 *     new ──`done`──▶ old       which stops listening, hangs up, and ends with its last connection
 *
 * A new one that ends before it is done leaves all to the old one.
 */

/** What the old one answers: its own numbers of descriptors. */
export interface HandOver {
  readonly pid: number
  /** The folder's lock. */
  readonly lock: number
  /** The control pipe that its launchers have open. */
  readonly control: FileId
  /** Listening sockets, by their launchers. */
  readonly ports: readonly { readonly launcher: number; readonly fd: number }[]
}

/** What was taken from it. */
export interface Takeover {
  readonly pid: number
  readonly lock: number
  readonly control: FileId
  /** Listening sockets by launcher, as our own descriptors; what is not taken out is closed in the end. */
  readonly sockets: Map<number, number>
  /** The old one is to leave; resolves when it has stopped listening, or has ended. */
  done(): Promise<void>
}

/**
 * Asks the docker-proxyd of a folder for its place; undefined where there is none.
 * @param path of its status socket
 * Rejects with a sentence when it can't be had.
 */
export async function takeOver(path: string): Promise<Takeover | undefined> {
  let connection: Socket
  let told: Partial<HandOver> & { error?: string }
  try {
    const answer = await ask(path, 'replace')
    connection = answer.connection
    told = answer.told as typeof told
  } catch {
    return undefined
  }
  const { pid, lock, control, ports } = told
  if (pid === undefined || lock === undefined || !control || !ports) {
    connection.destroy()
    throw new Error(`the docker-proxyd that runs can't be replaced: ${told.error ?? 'it is older'}`)
  }
  const libc = requireLibc()
  const sockets = new Map<number, number>()
  try {
    const pidfd = libc.openProcess(pid)
    try {
      const taken = libc.takeDescriptor(pidfd, lock)
      for (const { launcher, fd } of ports) {
        try {
          sockets.set(launcher, libc.takeDescriptor(pidfd, fd))
        } catch (err) {
          // Closed meanwhile: its launcher has ended.
          if (errnoCode(err) !== 'EBADF') throw err
        }
      }
      return {
        pid,
        lock: taken,
        control,
        sockets,
        async done() {
          for (const fd of sockets.values()) closeSync(fd)
          sockets.clear()
          if (connection.destroyed) return
          const closed = new Promise((resolve) => connection.once('close', resolve))
          connection.resume().end('done\n')
          await closed
        },
      }
    } finally {
      closeSync(pidfd)
    }
  } catch (err) {
    connection.destroy()
    for (const fd of sockets.values()) closeSync(fd)
    throw new Error(`can't take the sockets of docker-proxyd ${pid}: ${String(err)}`, {
      cause: err,
    })
  }
}
