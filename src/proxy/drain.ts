import { loadCheckedSyscalls } from '../linux/ffi/checked-syscalls.js'
import type { Proxy } from './engine.js'
import type { PublishedPort } from './published-port.js'

/**
 * Closes a port to new clients, and lets its open connections end by themselves. Other processes, such as its parent, may have the listening
 * socket as well: it no longer listens.
 * @param drainMs the time that they have, milliseconds
 */
export function drain({ protocol }: PublishedPort, proxy: Proxy, drainMs: number): void {
  if (protocol !== 'udp' && proxy.listenFd !== undefined) {
    try {
      loadCheckedSyscalls()?.stopListening(proxy.listenFd)
    } catch {
      // It no longer listens.
    }
  }
  proxy.stop({ drainMs })
}
