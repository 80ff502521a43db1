import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { processorSeconds, TICKS_PER_SECOND } from './accounting.js'

/**
 * Watches how much of the machine other programs use, and a hypervisor that gives its processors to others.
 * @returns a function that tells their share of all cores since then, from 0 to 1
 */
export function watchForeignWork(): () => number {
  const start = now()
  return () => {
    const end = now()
    const available = (end.at - start.at) * availableParallelism()
    const foreign = end.used - start.used - (end.ours - start.ours)
    return Math.max(0, foreign / available)
  }
}

function now(): { at: number; used: number; ours: number } {
  // user, nice, system; iowait, irq and softirq are nobody's work; then steal. See proc(5).
  const [user = 0, nice = 0, system = 0, , , , , steal = 0] =
    /^cpu +(.*)$/m.exec(readFileSync('/proc/stat', 'utf8'))?.[1]?.split(' ').map(Number) ?? []
  return {
    at: performance.now() / 1000,
    used: (user + nice + system + steal) / TICKS_PER_SECOND,
    ours: processorSeconds([process.pid]),
  }
}
