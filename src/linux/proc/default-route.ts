import { readFileSync } from 'node:fs'
import { endianness } from 'node:os'
import { formatIp } from '../sockets/ip-address.js'

/** The default route of IPv4. */
interface DefaultRoute {
  readonly interface: string
  readonly gateway: string
}

/** RTF_GATEWAY of linux/route.h. */
const RTF_GATEWAY = 2

/**
 * The default route of IPv4 in a process's network namespace, see proc(5), /proc/net/route.
 * @returns undefined if there is none, or it can't be read
 */
export function readDefaultRoute(pid: number): DefaultRoute | undefined {
  let table: string
  try {
    table = readFileSync(`/proc/${pid}/net/route`, 'utf8')
  } catch {
    return undefined
  }
  for (const line of table.split('\n').slice(1)) {
    const [name = '', destination, gateway = '', flags = ''] = line.split('\t')
    if (destination !== '00000000' || !(parseInt(flags, 16) & RTF_GATEWAY)) continue
    const bytes = Buffer.from(gateway, 'hex')
    // The number is printed in the machine's byte order.
    const ip = formatIp(endianness() === 'LE' ? bytes.reverse() : bytes)
    return { interface: name, gateway: ip }
  }
  return undefined
}
