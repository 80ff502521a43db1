import { readFileSync } from 'node:fs'
import { formatIp, isAutomatic, isLoopback } from '../sockets/ip-address.js'
import { hasInterface } from './network-of.js'

/**
 * Whether a process's network namespace certainly lacks an address. Some runtimes, for example gVisor, take all addresses from the interfaces and
 * serve them themselves: then this is not known.
 * @throws SystemError `ENOENT` if there is no such process
 */
export function lacksAddress(pid: number, ip: string): boolean {
  if (isLoopback(ip)) return false
  const addresses = addressesOf(pid)
  if (addresses.includes(ip)) return false
  return !addresses.every(isAutomatic) || !hasInterface(pid)
}

/** The addresses of a process's network namespace. Source: proc(5); a kernel without IPv6 has no if_inet6. */
function addressesOf(pid: number): string[] {
  const trie = readFileSync(`/proc/${pid}/net/fib_trie`, 'utf8')
  const four = [...trie.matchAll(/\|-- (\S+)\n +\/32 host LOCAL/g)].map(([, ip = '']) => ip)
  return [...four, ...ipv6AddressesOf(pid)]
}

function ipv6AddressesOf(pid: number): string[] {
  let table: string
  try {
    table = readFileSync(`/proc/${pid}/net/if_inet6`, 'utf8')
  } catch {
    return []
  }
  return [...table.matchAll(/^([0-9a-f]{32}) /gm)].map(([, hex = '']) =>
    formatIp(Buffer.from(hex, 'hex')),
  )
}
