import { constants } from 'node:os'

/** An error of a system call, in the form of Node's errors: `code` and `syscall`. */
export interface SystemError extends Error {
  readonly code: string
  readonly syscall: string
}

/** Makes an error: `systemError('bind', 98)` has the code EADDRINUSE. */
function systemError(syscall: string, errno: number): SystemError {
  const code = errnoName(errno)
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall })
}

/** The error of a socket, whichever call has reported it. */
export function socketError(errno: number): SystemError {
  return systemError('socket', errno)
}

/**
 * Returns the result of a system call, unless it is a negative errno.
 * @throws SystemError
 */
export function check(syscall: string, result: number): number {
  if (result >= 0) return result
  throw systemError(syscall, -result)
}

function errnoName(number: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === number)
  return found?.[0] ?? `errno ${number}`
}
