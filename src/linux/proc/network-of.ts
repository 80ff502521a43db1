import { closeSync, openSync } from 'node:fs'
import { requireCheckedSyscalls } from '../ffi/checked-syscalls.js'
import { errnoReason } from '../errno.js'

/** Attempts to return to the own namespace, which can fail while memory is short. */
const ATTEMPTS = 100

/**
 * Runs something in the network namespace of another process: sockets that it opens belong to that namespace. Only this thread is moved.
 * @param action synchronous
 * @throws SystemError `EPERM` without CAP_SYS_ADMIN, `ENOENT` if there is no such process; Error if there is no FFI
 */
export function inNetworkOf<T>(pid: number, action: () => T): T {
  const syscalls = requireCheckedSyscalls()
  const own = openSync('/proc/thread-self/ns/net', 'r')
  try {
    const other = openSync(`/proc/${pid}/ns/net`, 'r')
    try {
      syscalls.enterNetwork(other)
    } finally {
      closeSync(other)
    }
    try {
      return action()
    } finally {
      comeBack(own)
    }
  } finally {
    closeSync(own)
  }
}

/** Ends the process if it can't come back: in another network it would reach other servers. */
function comeBack(own: number): void {
  const syscalls = requireCheckedSyscalls()
  for (let attempt = 1; ; attempt++) {
    try {
      return syscalls.enterNetwork(own)
    } catch (err) {
      if (attempt < ATTEMPTS) continue
      console.error(`Can't return to the network of this process: ${errnoReason(err)}`)
      process.abort()
    }
  }
}
