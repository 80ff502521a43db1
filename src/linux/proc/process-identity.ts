import { processStartTime } from './process.js'

/** Identifies a process: pid and start time together are unique within one boot. */
export interface ProcessIdentity {
  readonly pid: number
  /** In clock ticks since the boot, see proc(5). */
  readonly startTime: number
}

/** @returns undefined if there is no such process */
export function identify(pid: number): ProcessIdentity | undefined {
  const startTime = processStartTime(pid)
  return startTime === undefined ? undefined : { pid, startTime }
}

/** Whether the process runs. If this can't be determined, it counts as running. */
export function isAlive({ pid, startTime }: ProcessIdentity): boolean {
  try {
    return processStartTime(pid) === startTime
  } catch {
    return true
  }
}
