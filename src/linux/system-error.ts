import { constants } from 'node:os'

/** An error of a system call, in the form of Node's own: `code` and `syscall`. */
export interface SystemError extends Error {
  readonly code: string
  readonly syscall: string
}

/** The error that a call has given: `systemError('bind', 98)` has the code EADDRINUSE. */
function systemError(syscall: string, errno: number): SystemError {
  const code = errnoName(errno)
  return Object.assign(new Error(`${syscall} ${code}`), { code, syscall })
}

/** The error that a socket has, whichever call told it. */
export function socketError(errno: number): SystemError {
  return systemError('socket', errno)
}

/**
 * The answer of a call as it is, unless it is a negative errno.
 * @throws SystemError
 */
export function check(syscall: string, answer: number): number {
  if (answer >= 0) return answer
  throw systemError(syscall, -answer)
}

function errnoName(number: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === number)
  return found?.[0] ?? `errno ${number}`
}
