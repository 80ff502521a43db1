import { readFileSync } from 'node:fs'

/*
 * The kernel's table of tracked connections, which is on where any rule translates addresses, as on a host that has had a
 * dockerd: connections that have ended stay in it for two minutes, and when it is full new ones are dropped.
 */

const FULL = 0.99

/** How many connections are tracked, and how many may be; undefined where none are. */
function tracked(): { count: number; max: number } | undefined {
  try {
    const [count = 0, max = 0] = ['count', 'max'].map((name) =>
      Number(readFileSync(`/proc/sys/net/netfilter/nf_conntrack_${name}`, 'utf8')),
    )
    return count > 0 ? { count, max } : undefined
  } catch {
    return undefined
  }
}

/** In a few words. */
export function describeTracking(): string {
  const now = tracked()
  return now ? `on, for ${now.max} connections` : 'off'
}

/** What to say where it explains that connections are not answered. */
export function fullTable(): string | undefined {
  const now = tracked()
  if (!now || now.count < FULL * now.max) return undefined
  return `the kernel's table of tracked connections is full (nf_conntrack_max is ${now.max})`
}
