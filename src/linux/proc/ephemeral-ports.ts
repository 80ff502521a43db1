import { readFileSync } from 'node:fs'

/** The first and the last port of a range. For a single port both are equal. */
export interface PortRange {
  readonly first: number
  readonly last: number
}

/** dockerd's range if the kernel's can't be read: the dynamic ports of RFC 6335. */
const FALLBACK: PortRange = { first: 49_153, last: 65_535 }

/** The range from which the kernel picks a free port, see ip(7), ip_local_port_range. */
export function ephemeralPorts(): PortRange {
  const [first, last] = read('ip_local_port_range').trim().split(/\s+/).map(Number)
  return first && last ? { first, last } : FALLBACK
}

/** Tells which ports are never picked automatically, see ip(7), ip_local_reserved_ports: `8080,9000-9010`. */
export function reservedPorts(): (port: number) => boolean {
  const ranges = read('ip_local_reserved_ports')
    .trim()
    .split(',')
    .filter((range) => range !== '')
    .map((range) => range.split('-').map(Number))
  return (port) => ranges.some(([first = 0, last = first]) => port >= first && port <= last)
}

/** Whether TCP connections have timestamps, see tcp(7), tcp_timestamps. */
export function hasTcpTimestamps(): boolean {
  return /^[12]/.test(read('tcp_timestamps'))
}

function read(name: string): string {
  try {
    return readFileSync(`/proc/sys/net/ipv4/${name}`, 'utf8')
  } catch {
    return ''
  }
}
