import { readdirSync, readFileSync, readlinkSync } from 'node:fs'

/*
 * Figures of a process under test, from /proc.
 */

const LISTEN = '0A'

/** The first TCP port on which the process listens. */
export function listeningPort(pid: number): number {
  const inodes = new Set(socketInodes(pid))
  for (const table of ['tcp', 'tcp6']) {
    const [, ...rows] = readFileSync(`/proc/${pid}/net/${table}`, 'utf8').trim().split('\n')
    for (const row of rows) {
      const [, local = '', , state, , , , , , inode = ''] = row.trim().split(/\s+/)
      if (state === LISTEN && inodes.has(inode)) return parseInt(local.split(':')[1] ?? '', 16)
    }
  }
  throw new Error(`process ${pid} does not listen`)
}

/** The number of its open descriptors. */
export function openDescriptors(pid: number): number {
  return readdirSync(`/proc/${pid}/fd`).length
}

/** A number of /proc/PID/status, see proc(5). */
export function statusFigure(pid: number, name: string): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
}

/** A figure of /proc/PID/status in bytes, for example `VmHWM`, the peak of the memory. */
export function memoryFigure(pid: number, name: string): number {
  return statusFigure(pid, name) * 1024
}

/** Kills a process that may have ended by now. */
export function kill(pid: number | undefined): void {
  // 0 would be all of our own group.
  if (!pid) throw new Error('there is no process to kill')
  try {
    process.kill(pid, 'SIGKILL')
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code !== 'ESRCH') throw err
  }
}

/** Its children that still run. */
export function childrenOf(pid: number): number[] {
  const text = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim()
  return text === '' ? [] : text.split(' ').map(Number)
}

function socketInodes(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1] ?? []
    } catch {
      return []
    }
  })
}
