import { readFileSync } from 'node:fs'

/** Cores of the proxy. HAProxy and nginx get as many threads. */
export const PROXY_CORES = 2
/** With fewer cores, the load would have none of its own. */
const MIN_CORES = 4

/** The cores of the proxy, and those of the load and the backends. */
export interface Cores {
  readonly proxy: readonly number[]
  readonly load: readonly number[]
}

/** @returns undefined if there are too few cores to separate them, and all share them */
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

/** The prefix of a command that keeps a program on these cores. */
export function onCores(cores: readonly number[] | undefined): readonly string[] {
  return cores ? ['taskset', '-c', cores.join(',')] : []
}
