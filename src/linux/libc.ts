import { requireCalls } from './calls.js'
import { EFD, F, LOCK, OPTION, SYS, type SocketOption } from './constants.js'
import { requireFfi } from './ffi.js'
import { check } from './system-error.js'

/*
 * libc for what is done now and then: calls that Node has no name for, with errors thrown. Loaded with the first call, and
 * in the middle of things: no import() here.
 */

const FIRST_AFTER_STDIO = 3

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
  /** A pipe with a path, see mkfifo(3). */
  makeFifo(path: string, mode: number): void
  /** A descriptor by which one thread wakes another, see eventfd(2). */
  openBell(): number
  /** A descriptor for a process, see pidfd_open(2). */
  openProcess(pid: number): number
  /** Sends a signal to a process, or with 0 only asks whether it is there; see pidfd_send_signal(2). Throws `ESRCH` when it has ended. */
  signalProcess(pidfd: number, signal: number): void
  /** A copy of another process's descriptor, see pidfd_getfd(2). */
  takeDescriptor(pidfd: number, fd: number): number
}

let loaded: Libc | Error | undefined

/** libc; undefined where the FFI has no build for this platform. */
export function loadLibc(): Libc | undefined {
  if (loaded === undefined) {
    try {
      loaded = openLibc()
    } catch (err) {
      loaded = err as Error
    }
  }
  return loaded instanceof Error ? undefined : loaded
}

/** @throws Error where the FFI has no build for this platform */
export function requireLibc(): Libc {
  const libc = loadLibc()
  if (libc) return libc
  throw loaded as Error
}

function openLibc(): Libc {
  const calls = requireCalls()
  const { addressOf, declare, errno } = requireFfi()
  const listen = declare('int listen(int fd, int backlog)')
  const bind = declare('int bind(int fd, uintptr_t address, uint32_t length)')
  const flock = declare('int flock(int fd, int operation)')
  const eventfd = declare('int eventfd(unsigned int start, int flags)')
  const mkfifo = declare('int mkfifo(const char *path, uint32_t mode)')
  // Its arguments are in registers, whatever they are; with a list of variable length the FFI takes ten times as long.
  const syscall = declare('long syscall(long number, long a, long b, long c, long d)')

  const checked = (name: string, result: number): number =>
    check(name, result < 0 ? -errno() : result)
  const enable = (fd: number, option: SocketOption): void => {
    check('setsockopt', calls.setOption(fd, option, 1))
  }

  return {
    duplicate(fd) {
      const copy = calls.fcntl(fd, F.DUPFD_CLOEXEC, FIRST_AFTER_STDIO)
      return copy < 0 ? undefined : copy
    },
    isListening(fd) {
      const answer = calls.option(fd, OPTION.SO_ACCEPTCONN)
      return answer < 0 ? undefined : answer === 1
    },
    socket: (family, type, protocol) => check('socket', calls.socket(family, type, protocol)),
    reuseAddress: (fd) => enable(fd, OPTION.SO_REUSEADDR),
    ipv6Only: (fd) => enable(fd, OPTION.IPV6_V6ONLY),
    bind: (fd, address) => void checked('bind', bind(fd, addressOf(address), address.length)),
    listen: (fd, backlog) => void checked('listen', listen(fd, backlog)),
    lock: (fd) => flock(fd, LOCK.EX | LOCK.NB) === 0,
    makeFifo: (path, mode) => void checked('mkfifo', mkfifo(path, mode)),
    openBell: () => checked('eventfd', eventfd(0, EFD.NONBLOCK | EFD.CLOEXEC)),
    openProcess: (pid) => checked('pidfd_open', syscall(SYS.pidfd_open, pid, 0, 0, 0)),
    signalProcess: (pidfd, signal) =>
      void checked('pidfd_send_signal', syscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0)),
    takeDescriptor: (pidfd, fd) =>
      checked('pidfd_getfd', syscall(SYS.pidfd_getfd, pidfd, fd, 0, 0)),
  }
}
