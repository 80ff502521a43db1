import { isIpv6, parseIp } from './ip-address.js'
import type { SocketAddress } from './socket-address.js'

/** The highest port, see tcp(7). */
const MAX_PORT = 65_535

/** Parses `IP:PORT`, `[IP]:PORT` or `localhost:PORT`. @returns undefined if it is none of these */
export function parseAddress(text: string): SocketAddress | undefined {
  const [, bracketed, bare, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d{1,5})$/.exec(text) ?? []
  const host = bracketed ?? bare ?? ''
  const ip = host === 'localhost' ? '127.0.0.1' : parseIp(host)
  if (ip === undefined || Number(port) > MAX_PORT) return undefined
  return { ip: isIpv6(host) ? host : ip, port: Number(port) }
}
