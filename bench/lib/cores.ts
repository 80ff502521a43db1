import { readFileSync } from 'node:fs'

/** Cores of the proxy: HAProxy and nginx are given as many threads. */
export const PROXY_CORES = 2
/** With fewer than these, the load would have no cores of its own. */
const MIN_CORES = 4

/** Which cores the proxy runs on, and which the load and the backends. */
export interface Cores {
  readonly proxy: readonly number[]
  readonly load: readonly number[]
}

/** @returns undefined where there are too few to keep them apart, and all share what there is */
export function divideCores(cores: readonly number[]): Cores | undefined {
  if (cores.length < MIN_CORES) return undefined
  return { proxy: cores.slice(0, PROXY_CORES), load: cores.slice(PROXY_CORES) }
}

/** The cores that this process may use; see proc(5), `Cpus_allowed_list` of /proc/PID/status. */
export function allowedCores(): number[] {
  const status = readFileSync('/proc/self/status', 'utf8')
  return parseCores(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1] ?? '0')
}

/** @param list as the kernel writes it: `0-3,8` */
export function parseCores(list: string): number[] {
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** The command before a program that keeps it on these cores. */
export function onCores(cores: readonly number[] | undefined): readonly string[] {
  return cores ? ['taskset', '-c', cores.join(',')] : []
}
