import { requireSyscalls } from './syscalls.js'
import {
  CLONE_NEWNET,
  EFD,
  F,
  LOCK,
  OPTION,
  SHUT_RD,
  SOCK,
  SYS,
  type SocketOption,
} from './constants.js'
import { requireFfi } from './ffi.js'
import { check } from './system-error.js'

/*
 * System calls outside the data path that Node does not offer. They throw errors. They are loaded with the first call, which must be
 * synchronous, so there is no import() here.
 */

const FIRST_AFTER_STDIO = 3

/** All methods throw SystemError, unless they say otherwise. The caller closes returned descriptors, with node:fs. */
export interface CheckedSyscalls {
  /** A second descriptor of the same socket; undefined if no descriptor is left. */
  duplicate(fd: number): number | undefined
  /** Whether a socket listens; undefined if the kernel does not tell. */
  isListening(fd: number): boolean | undefined
  /** The address family of a socket, see socket(7), SO_DOMAIN; undefined if the kernel does not tell. */
  family(fd: number): number | undefined
  /** socket(2). */
  socket(family: number, type: number, protocol: number): number
  /** SO_REUSEADDR: the port can be bound while earlier connections are in TIME_WAIT. */
  reuseAddress(fd: number): void
  /** IPV6_V6ONLY: an IPv6 socket does not occupy the IPv4 port. */
  ipv6Only(fd: number): void
  bind(fd: number, address: Buffer): void
  listen(fd: number, backlog: number): void
  /** TCP_USER_TIMEOUT, milliseconds; 0 for the kernel's own limit. Does not throw. */
  setUserTimeout(fd: number, milliseconds: number): void
  /** Has a socket no longer listen, also if other processes have it: shutdown(2). */
  stopListening(fd: number): void
  /** accept4(2) of a socket that does not block. @returns undefined if it fails, for example because no connection waits */
  accept(fd: number): number | undefined
  /** flock(2), without waiting. The lock ends with the descriptor. @returns whether it succeeded */
  lockFile(fd: number): boolean
  /** Makes a FIFO, see mkfifo(3). */
  makeFifo(path: string, mode: number): void
  /** A descriptor with which one thread wakes another, see eventfd(2). */
  openEventFd(): number
  /** A descriptor of a process, see pidfd_open(2). */
  openPidFd(pid: number): number
  /** pidfd_send_signal(2). Signal 0 only checks that the process exists. @throws SystemError `ESRCH` if it has ended */
  signalProcess(pidfd: number, signal: number): void
  /** Moves this thread to another network namespace, see setns(2). @param fd of the namespace */
  enterNetwork(fd: number): void
  /** Copies a descriptor of another process, see pidfd_getfd(2). */
  copyDescriptor(pidfd: number, fd: number): number
}

let loaded: CheckedSyscalls | Error | undefined

/** @returns undefined if there is no FFI on this platform */
export function loadCheckedSyscalls(): CheckedSyscalls | undefined {
  if (loaded === undefined) {
    try {
      loaded = declareCheckedSyscalls()
    } catch (err) {
      loaded = err as Error
    }
  }
  return loaded instanceof Error ? undefined : loaded
}

/** @throws Error if there is no FFI on this platform */
export function requireCheckedSyscalls(): CheckedSyscalls {
  const syscalls = loadCheckedSyscalls()
  if (syscalls) return syscalls
  throw loaded as Error
}

function declareCheckedSyscalls(): CheckedSyscalls {
  const syscalls = requireSyscalls()
  const { addressOf, declare, errno } = requireFfi()
  const listen = declare('int listen(int fd, int backlog)')
  const flock = declare('int flock(int fd, int operation)')
  const eventfd = declare('int eventfd(unsigned int start, int flags)')
  const setns = declare('int setns(int fd, int type)')
  const mkfifo = declare('int mkfifo(const char *path, uint32_t mode)')
  // All arguments are passed in registers. A variadic declaration would make the FFI ten times slower.
  const syscall = declare('long syscall(long number, long a, long b, long c, long d)')

  const checked = (name: string, result: number): number =>
    check(name, result < 0 ? -errno() : result)
  const enable = (fd: number, option: SocketOption): void => {
    check('setsockopt', syscalls.setOption(fd, option, 1))
  }

  return {
    duplicate(fd) {
      const copy = syscalls.fcntl(fd, F.DUPFD_CLOEXEC, FIRST_AFTER_STDIO)
      return copy < 0 ? undefined : copy
    },
    isListening(fd) {
      const answer = syscalls.getOption(fd, OPTION.SO_ACCEPTCONN)
      return answer < 0 ? undefined : answer === 1
    },
    family(fd) {
      const family = syscalls.getOption(fd, OPTION.SO_DOMAIN)
      return family < 0 ? undefined : family
    },
    socket: (family, type, protocol) => check('socket', syscalls.socket(family, type, protocol)),
    reuseAddress: (fd) => enable(fd, OPTION.SO_REUSEADDR),
    ipv6Only: (fd) => enable(fd, OPTION.IPV6_V6ONLY),
    bind: (fd, address) =>
      void check('bind', syscalls.bind(fd, addressOf(address), address.length)),
    listen: (fd, backlog) => void checked('listen', listen(fd, backlog)),
    setUserTimeout: (fd, milliseconds) =>
      void syscalls.setOption(fd, OPTION.TCP_USER_TIMEOUT, milliseconds),
    stopListening: (fd) => void check('shutdown', syscalls.shutdown(fd, SHUT_RD)),
    accept(fd) {
      const accepted = syscalls.accept(fd, SOCK.NONBLOCK | SOCK.CLOEXEC)
      return accepted < 0 ? undefined : accepted
    },
    lockFile: (fd) => flock(fd, LOCK.EX | LOCK.NB) === 0,
    makeFifo: (path, mode) => void checked('mkfifo', mkfifo(path, mode)),
    openEventFd: () => checked('eventfd', eventfd(0, EFD.NONBLOCK | EFD.CLOEXEC)),
    openPidFd: (pid) => checked('pidfd_open', syscall(SYS.pidfd_open, pid, 0, 0, 0)),
    signalProcess: (pidfd, signal) =>
      void checked('pidfd_send_signal', syscall(SYS.pidfd_send_signal, pidfd, signal, 0, 0)),
    enterNetwork: (fd) => void checked('setns', setns(fd, CLONE_NEWNET)),
    copyDescriptor: (pidfd, fd) =>
      checked('pidfd_getfd', syscall(SYS.pidfd_getfd, pidfd, fd, 0, 0)),
  }
}
