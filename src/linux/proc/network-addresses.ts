import { readFileSync } from 'node:fs'
import { formatIp, isAutomatic, isLoopback } from '../sockets/ip-address.js'

/**
 * Whether a process's network namespace certainly lacks an address.
 * @throws SystemError `ENOENT` if there is no such process
 */
export function lacksAddress(pid: number, ip: string): boolean {
  if (isLoopback(ip)) return false
  const addresses = addressesOf(pid)
  if (addresses.includes(ip)) return false
  return !areServedByRuntime(pid, addresses)
}

/**
 * Whether a container's runtime serves the addresses of the container itself. gVisor does, and takes them from the interfaces before the container
 * runs. The kernel knows nothing of such addresses.
 * @param addresses of the process's network namespace
 * @throws SystemError `ENOENT` if there is no such process
 */
export function areServedByRuntime(pid: number, addresses: readonly string[]): boolean {
  return addresses.every(isAutomatic) && hasInterface(pid)
}

/**
 * The addresses of a process's network namespace. Source: proc(5); a kernel without IPv6 has no if_inet6.
 * @throws SystemError `ENOENT` if there is no such process
 */
export function addressesOf(pid: number): string[] {
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

/** Whether a process's network namespace has an interface beside `lo`. @throws SystemError `ENOENT` if there is no such process */
function hasInterface(pid: number): boolean {
  // After two lines of titles, each line begins with a name and a colon, see proc(5).
  const [, , ...lines] = readFileSync(`/proc/${pid}/net/dev`, 'utf8').trimEnd().split('\n')
  return lines.some((line) => !/^ *lo:/.test(line))
}
