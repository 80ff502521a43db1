import { createRequire } from 'node:module'
import { constants } from 'node:os'

/*
 * libc through FFI: the calls that Node has no name for. Loaded with the first call, and in the middle of
 * things: no import() here. Constants are those of Linux on x86-64 and arm64, where they agree.
 */

/** fcntl(2): a copy of the descriptor, closed on exec. */
const F_DUPFD_CLOEXEC = 1030
const FIRST_AFTER_STDIO = 3

/** socket(7) and ip(7), ipv6(7), tcp(7). */
const SOL_SOCKET = 1
const SO_REUSEADDR = 2
const SO_ACCEPTCONN = 30
const IPPROTO_IPV6 = 41
const IPV6_V6ONLY = 26
const SIZE_OF_INT = 4

/** flock(2). */
const LOCK_EX = 2
const LOCK_NB = 4

/** Numbers of calls that older C libraries have no wrapper for, see syscall(2). */
const SYS_PIDFD_OPEN = 434
const SYS_PIDFD_GETFD = 438

type Call = (...args: unknown[]) => number

interface Library {
  readonly fcntl: Call
  readonly getsockopt: Call
  readonly setsockopt: Call
  readonly socket: Call
  readonly bind: Call
  readonly listen: Call
  readonly flock: Call
  readonly syscall: Call
  readonly errno: () => number
}

/** An error of a system call, in the form of Node's own: `code` and `syscall`. */
interface SystemError extends Error {
  readonly code: string
  readonly syscall: string
}

/** Descriptors and sockets as the kernel has them. Whoever gets a descriptor closes it, with node:fs. */
export interface Libc {
  /** A second descriptor for the same open socket; undefined when the kernel has none left. */
  duplicate(fd: number): number | undefined
  /** Whether the socket listens; undefined when the kernel does not tell. */
  isListening(fd: number): boolean | undefined
  /** A socket of this kind, closed on exec. Throws SystemError, as all below. */
  socket(family: number, type: number, protocol: number): number
  /** Lets the port be bound while connections of its last owner wait out 2 MSL. */
  reuseAddress(fd: number): void
  /** Keeps an IPv6 socket from taking IPv4's port as well. */
  ipv6Only(fd: number): void
  bind(fd: number, address: Buffer): void
  listen(fd: number, backlog: number): void
  /** Locks the file, and tells whether it could; the lock ends with the descriptor, or its process. */
  lock(fd: number): boolean
  /** A descriptor for a process, see pidfd_open(2). */
  openProcess(pid: number): number
  /** A copy of another process's descriptor, see pidfd_getfd(2). */
  takeDescriptor(pidfd: number, fd: number): number
}

let loaded: Libc | null | undefined

/** libc; undefined where the FFI has no build for this platform. */
export function loadLibc(): Libc | undefined {
  if (loaded === undefined) {
    try {
      loaded = libcOf(openLibrary())
    } catch {
      loaded = null
    }
  }
  return loaded ?? undefined
}

/** @throws Error where the FFI has no build for this platform */
export function requireLibc(): Libc {
  const libc = loadLibc()
  if (libc) return libc
  throw new Error(
    `there is no koffi for ${process.platform} on ${process.arch}: reinstall with npm`,
  )
}

function openLibrary(): Library {
  const koffi = createRequire(import.meta.url)('koffi') as typeof import('koffi')
  const libc = koffi.load(null)
  const declare = (prototype: string): Call => libc.func(prototype) as Call
  return {
    fcntl: declare('int fcntl(int fd, int command, ...)'),
    getsockopt: declare(
      'int getsockopt(int fd, int level, int option, _Out_ int *value, _Inout_ int *length)',
    ),
    setsockopt: declare(
      'int setsockopt(int fd, int level, int option, const int *value, int length)',
    ),
    socket: declare('int socket(int family, int type, int protocol)'),
    bind: declare('int bind(int fd, const uint8_t *address, int length)'),
    listen: declare('int listen(int fd, int backlog)'),
    flock: declare('int flock(int fd, int operation)'),
    syscall: declare('long syscall(long number, ...)'),
    errno: () => koffi.errno(),
  }
}

function libcOf(library: Library): Libc {
  const { fcntl, getsockopt, setsockopt, syscall } = library

  const check = (name: string, result: number): number => {
    if (result >= 0) return result
    const code = errnoName(library.errno())
    const err: SystemError = Object.assign(new Error(`${name} ${code}`), { code, syscall: name })
    throw err
  }
  const enable = (fd: number, level: number, name: number): void => {
    check('setsockopt', setsockopt(fd, level, name, new Int32Array([1]), SIZE_OF_INT))
  }

  return {
    duplicate(fd) {
      const copy = fcntl(fd, F_DUPFD_CLOEXEC, 'int', FIRST_AFTER_STDIO)
      return copy < 0 ? undefined : copy
    },
    isListening(fd) {
      const value = new Int32Array(1)
      const length = new Int32Array([SIZE_OF_INT])
      const failed = getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, value, length) !== 0
      return failed ? undefined : value[0] === 1
    },
    socket: (family, type, protocol) => check('socket', library.socket(family, type, protocol)),
    reuseAddress: (fd) => enable(fd, SOL_SOCKET, SO_REUSEADDR),
    ipv6Only: (fd) => enable(fd, IPPROTO_IPV6, IPV6_V6ONLY),
    bind: (fd, address) => void check('bind', library.bind(fd, address, address.length)),
    listen: (fd, backlog) => void check('listen', library.listen(fd, backlog)),
    lock: (fd) => library.flock(fd, LOCK_EX | LOCK_NB) === 0,
    openProcess: (pid) => check('pidfd_open', syscall(SYS_PIDFD_OPEN, 'int', pid, 'uint', 0)),
    takeDescriptor: (pidfd, fd) =>
      check('pidfd_getfd', syscall(SYS_PIDFD_GETFD, 'int', pidfd, 'int', fd, 'uint', 0)),
  }
}

function errnoName(number: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === number)
  return found?.[0] ?? `errno ${number}`
}
