import { readFileSync } from 'node:fs'

/** Whether this host forwards packets, see ip(7), ip_forward. */
export function forwardsPackets(family: 'ipv4' | 'ipv6'): boolean {
  const path = family === 'ipv4' ? 'ipv4/ip_forward' : 'ipv6/conf/all/forwarding'
  try {
    return readFileSync(`/proc/sys/net/${path}`, 'utf8').trim() !== '0'
  } catch {
    return false
  }
}
