import { readFileSync } from 'node:fs'

/*
 * The kernel's table of tracked connections. It is in use if any rule translates addresses, as on a host with a
 * dockerd. Ended connections stay in it for two minutes, and when it is full, new ones are dropped.
 */

const FULL = 0.99

/** The number of tracked connections, and the limit; undefined if none are tracked. */
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

/** A hint for connections that are not answered, if a full table explains it. */
export function fullTable(): string | undefined {
  const now = tracked()
  if (!now || now.count < FULL * now.max) return undefined
  return `the kernel's table of tracked connections is full (nf_conntrack_max is ${now.max})`
}
