/**
 * The reasons of system errors in the words of Go and strerror(3), which dockerd's users know.
 * Source: errno(3), and Go's syscall/zerrors_linux.
 */
export const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EADDRINUSE: 'address already in use',
  EADDRNOTAVAIL: 'cannot assign requested address',
  EAFNOSUPPORT: 'address family not supported by protocol',
  EAGAIN: 'resource temporarily unavailable',
  EBADF: 'bad file descriptor',
  ECONNABORTED: 'software caused connection abort',
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset by peer',
  EEXIST: 'file exists',
  EHOSTDOWN: 'host is down',
  EHOSTUNREACH: 'no route to host',
  EINVAL: 'invalid argument',
  EMFILE: 'too many open files',
  ENETDOWN: 'network is down',
  ENETUNREACH: 'network is unreachable',
  ENFILE: 'too many open files in system',
  ENOBUFS: 'no buffer space available',
  EISDIR: 'is a directory',
  ENODEV: 'no such device',
  ENOENT: 'no such file or directory',
  ENOSPC: 'no space left on device',
  ENOTDIR: 'not a directory',
  ENOMEM: 'cannot allocate memory',
  ENOTSOCK: 'socket operation on non-socket',
  EPERM: 'operation not permitted',
  EPIPE: 'broken pipe',
  EROFS: 'read-only file system',
  EPROTONOSUPPORT: 'protocol not supported',
  ETIMEDOUT: 'connection timed out',
}

/** The code of a failed system call (`EADDRINUSE`); undefined for any other error. */
export function errnoCode(err: unknown): string | undefined {
  return err instanceof Error && 'code' in err && typeof err.code === 'string'
    ? err.code
    : undefined
}

/** Whether an established connection was reset, or a write to it failed. A refused dial has another code, ECONNREFUSED. */
export function isReset(err: unknown): boolean {
  return ['ECONNRESET', 'EPIPE'].includes(errnoCode(err) ?? '')
}

/** Whether the system has run out of descriptors or memory, which may end soon. */
export function isShortage(err: unknown): boolean {
  return ['EMFILE', 'ENFILE', 'ENOMEM', 'ENOBUFS'].includes(errnoCode(err) ?? '')
}

/** The reason in one phrase: `address already in use`. For an error without a known code it is the error's message. */
export function errnoReason(err: unknown): string {
  return REASONS[errnoCode(err) ?? ''] ?? (err instanceof Error ? err.message : String(err))
}

/**
 * The code of the reason that ends a message of another program, for example of Docker's own docker-proxy. Messages of this program have
 * errors with a code.
 * @returns undefined if the message ends with no known reason
 */
export function codeOfReason(message: string): string | undefined {
  return Object.keys(REASONS).find((code) => message.endsWith(REASONS[code] ?? ''))
}
