import { addressesOverlap } from '../../linux/sockets/ip-address.js'
import type { HostPort } from '../host-port.js'

/** Whether two ports exclude each other. Our own listeners are IPv6-only, so the families never overlap. */
export function portsOverlap(a: HostPort, b: HostPort): boolean {
  return a.protocol === b.protocol && a.port === b.port && addressesOverlap(a.ip, b.ip)
}
