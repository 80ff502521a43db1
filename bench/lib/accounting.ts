import { readFileSync, writeFileSync } from 'node:fs'
import { KIB } from './units.js'

/*
 * What a process and all its descendants cost, by the kernel's accounting.
 */

/** Ticks of processor time in /proc per second: 100 on every Linux, see sysconf(3). */
export const TICKS_PER_SECOND = 100
/** Fewer ticks are inexact: each process may have used up to one more. */
const MIN_TICKS = 5
const SAMPLE_MS = 200

/** A process and its descendants, without those that have just ended. */
export function family(pid: number): number[] {
  const members = [pid]
  for (const member of members) {
    const children = read(`/proc/${member}/task/${member}/children`)
    members.push(...children.trim().split(' ').filter(Boolean).map(Number))
  }
  return members
}

/** Processes and their descendants, each once. */
function families(pids: readonly number[]): number[] {
  return [...new Set(pids.flatMap(family))]
}

/** Processor time that they have used, including that of children that have ended, seconds. */
export function processorSeconds(pids: readonly number[]): number {
  const ticks = families(pids).map((member) => {
    // utime, stime, cutime and cstime of proc(5), `/proc/PID/stat`, counted from behind the name.
    const fields = read(`/proc/${member}/stat`).split(') ')[1]?.split(' ').slice(11, 15) ?? []
    return sum(fields.map(Number))
  })
  return sum(ticks) / TICKS_PER_SECOND
}

/** Memory that they share with nobody, bytes. */
export function privateMemory(...pids: readonly number[]): number {
  return sum(families(pids).map((member) => field(member, 'smaps_rollup', 'Private_Dirty')))
}

/** Their share of all memory, where what is shared counts in parts, bytes. */
export function proportionalMemory(pids: readonly number[]): number {
  return sum(families(pids).map((member) => field(member, 'smaps_rollup', 'Pss')))
}

/** Whether it is enough to tell anything. */
export function isMeasurable(seconds: number): boolean {
  return seconds * TICKS_PER_SECOND >= MIN_TICKS
}

/** What `work` makes a family of processes use. */
export interface Usage {
  readonly processorSeconds: number
  /** Most memory that was resident at once, each process's peak added, bytes. */
  readonly peakMemory: number
}

export async function accountFor<T>(
  pids: readonly number[],
  work: () => Promise<T>,
): Promise<[T, Usage]> {
  // The peak starts anew, see proc(5), clear_refs.
  for (const member of families(pids)) {
    try {
      writeFileSync(`/proc/${member}/clear_refs`, '5')
    } catch {
      // It has ended, or is not ours: its peak is that of its life.
    }
  }
  let peakMemory = 0
  const sample = (): void => {
    const peaks = families(pids).map((member) => field(member, 'status', 'VmHWM'))
    peakMemory = Math.max(peakMemory, sum(peaks))
  }
  // Children that come and go with connections have gone when the work is over.
  const samples = setInterval(sample, SAMPLE_MS)
  const before = processorSeconds(pids)
  try {
    const result = await work()
    sample()
    return [result, { processorSeconds: processorSeconds(pids) - before, peakMemory }]
  } finally {
    clearInterval(samples)
  }
}

/** A number of KiB in a file of /proc, as bytes. */
function field(pid: number, file: string, name: string): number {
  const value = new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(read(`/proc/${pid}/${file}`))?.[1]
  return Number(value ?? 0) * KIB
}

function read(path: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return '' // It has ended.
  }
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
