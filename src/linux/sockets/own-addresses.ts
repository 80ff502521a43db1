import { networkInterfaces } from 'node:os'
import { isLoopback } from './ip-address.js'

/** Whether an address belongs to this host. All of 127.0.0.0/8 does, although no interface lists it. */
export function isOwnAddress(ip: string): boolean {
  if (isLoopback(ip)) return true
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some(({ address }) => address === ip),
  )
}
