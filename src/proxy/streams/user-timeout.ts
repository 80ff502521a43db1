import type { Socket } from 'node:net'
import { loadCheckedSyscalls } from '../../linux/ffi/checked-syscalls.js'
import { descriptorOf } from './descriptor.js'

/**
 * Sets TCP_USER_TIMEOUT, which Node does not offer, see tcp(7). Without FFI, the kernel's own limit remains.
 * @param milliseconds above 0
 */
export function setUserTimeout(socket: Socket, milliseconds: number): void {
  const fd = descriptorOf(socket)
  if (fd !== undefined) loadCheckedSyscalls()?.setUserTimeout(fd, milliseconds)
}
