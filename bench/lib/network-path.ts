import { existsSync } from 'node:fs'
import { openBridge, type ClientPlace } from './bridge.js'
import { machinesCongestionControl } from './machine.js'
import { missingProgram } from './peer.js'
import { MACHINE, openLoopback, type Site } from './site.js'

/** The way from the load through the proxy to the backend. */
export interface NetworkPath {
  readonly name: 'bridge' | 'loopback'
  /** In a few words. */
  readonly how: string
  readonly congestionControl: string
  /** Opens the networks. Loopback is that of this machine. */
  open(): Promise<Site>
  /** Opens networks whose rules nobody else uses. @throws Error for users other than root */
  openOwn(): Promise<Site>
}

/** The loopback interface: all parts are in the same network, as nothing in production is. */
export const LOOPBACK: NetworkPath = {
  name: 'loopback',
  how: 'load, proxy and backend on one loopback interface',
  congestionControl: machinesCongestionControl(),
  open: () => Promise.resolve({ ...MACHINE, close: () => Promise.resolve() }),
  openOwn: openLoopback,
}

/** A container behind a bridge, as dockerd makes it. */
export function bridgePath(client: ClientPlace, congestion: string | undefined): NetworkPath {
  const open = (): Promise<Site> => openBridge(client, congestion)
  const place = client === 'outside' ? 'behind a veth pair of its own' : 'on the host'
  return {
    name: 'bridge',
    congestionControl: congestion ?? machinesCongestionControl(),
    how: `the backend behind a bridge and a veth pair, the load ${place}, connections tracked`,
    open,
    openOwn: open,
  }
}

/** @returns why there can be no bridge here, and what to do about it */
export function missingBridge(): string | undefined {
  if (process.getuid?.() !== 0) return 'it takes root to make network namespaces'
  if (!existsSync('/proc/self/ns/net')) return 'this kernel has no network namespaces'
  return (
    missingProgram('/usr/sbin/iptables-restore', 'iptables') ??
    missingProgram('/bin/ip', 'iproute2')
  )
}
